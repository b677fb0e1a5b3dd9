"""What people see of a run: the table, the figures, the page."""
