"""Helpers for texts: character positions, words, units of words, and cells of tables."""
