"""Atomic, durable file writes: a file is complete or absent, and survives a power failure."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically and durably: write a temporary file beside it, sync it, rename it, and sync the folder."""
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
    """Create the folder and its missing parents; return the parent folders of those created, which the caller must sync."""
    missing = [p for p in (place, *place.parents) if not p.exists()]
    place.mkdir(parents=True, exist_ok=True)
    return [p.parent for p in missing]


def sync(path: Path) -> None:
    """Flush the file or folder to the disk (`fsync`)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
