"""The local state of an installation: its folder, locks, credentials, process checks and small helpers for files."""
