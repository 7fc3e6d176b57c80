"""Helpers that sources share: finding files, and reading the rows of tables in each format."""
