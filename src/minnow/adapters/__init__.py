"""Adapters to other libraries, one or two files for each."""
