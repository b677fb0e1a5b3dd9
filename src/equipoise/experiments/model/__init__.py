"""What experiments are about: methods as they are run, goals, rows, kept maps; it imports nothing upward."""
