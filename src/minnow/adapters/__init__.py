"""Bundles in the tools of others: one thin file each, imported by name."""
