"""Access control for the servers of this machine: a request guard, HTTP limits, and the owners of ports."""
