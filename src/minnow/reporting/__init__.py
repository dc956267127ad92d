"""Reports for people: HTML pages, plots, and numbers as text.

Nothing here knows what was measured: a package that has results passes values and its own template.
"""
