"""The local state of an installation: its folder, locks, secrets, and what its processes know of each other."""
