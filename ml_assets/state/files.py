"""Files that are there whole or not at all, and outlive a loss of power."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, and have the disk confirm it: written beside, synced, renamed, the folder synced."""
    made = make_folder(path.parent)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    for parent in (path.parent, *made):
        sync(parent)


def make_folder(place: Path) -> list[Path]:
    """Make the folder, if there is none; the parents of what had to be made, which must be synced."""
    missing = [p for p in (place, *place.parents) if not p.exists()]
    place.mkdir(parents=True, exist_ok=True)
    return [p.parent for p in missing]


def sync(path: Path) -> None:
    """Have the disk confirm what was written to the file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
