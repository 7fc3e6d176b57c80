"""Starts and watches the servers: `catalogue` says which, `supervisor` has `up`, `down` and `status`."""
