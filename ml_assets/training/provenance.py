"""Determines the version of the code, which is recorded with each model."""

import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version and, in a git checkout, the commit (`-dirty` with changes that are not committed)."""
    number = version("ml-assets")
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return number
    return f"{number}+{done.stdout.strip()}"
