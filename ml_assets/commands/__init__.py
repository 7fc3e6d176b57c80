"""What the commands of `ml-assets` do, one file each; `cli.py` only reads their arguments."""
