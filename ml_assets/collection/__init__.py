"""Collection stage."""
