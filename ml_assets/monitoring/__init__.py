"""Monitoring stage."""
