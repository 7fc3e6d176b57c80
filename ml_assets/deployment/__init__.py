"""Deployment stage."""
