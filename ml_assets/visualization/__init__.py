"""Visualization stage."""
