"""Positions, words and table cells of texts."""
