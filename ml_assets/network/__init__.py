"""Who may reach a server of this machine, and who holds its ports."""
