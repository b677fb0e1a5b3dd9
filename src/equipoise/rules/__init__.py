"""The rules: one paper per file, and `structure` for what is no layer of weights."""
