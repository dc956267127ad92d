"""Show results to people: HTML pages, plots, and numbers as text."""
