"""The implementation of the `ml-assets` commands, one file each; `cli.py` only parses their arguments."""
