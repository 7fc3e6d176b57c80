"""Starts and supervises the servers: `catalogue` describes them, `supervisor` has `up`, `down` and `status`."""
