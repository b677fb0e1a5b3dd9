"""One module per view of the page: from a `Session` and what the visitor chose to what is shown."""
