"""What was pushed to a project and waits to be collected: one file per accepted request, durable before it is acknowledged.

`<home>/inbox/<project>/<kind>/<hash>.jsonl`, one JSON object per line. The name follows from the content, so the same push
twice is one file.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_assets.home import home
from ml_assets.records import content_id
from ml_assets.store import PROJECT_NAME, UnknownProject

KINDS = ("samples", "labels")


def folder(project: str, kind: str) -> Path:
    """Where the project's pushes of that kind (`samples` or `labels`) wait."""
    if not PROJECT_NAME.fullmatch(project):
        raise UnknownProject(f"{project!r} is not a project's name")
    if kind not in KINDS:
        raise ValueError(f"unknown kind of push {kind!r}: choose one of {', '.join(KINDS)}")
    return home() / "inbox" / project / kind


def write(project: str, kind: str, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Keep the records; once it returns they survive a loss of power. `received_at` does not count as content."""
    if not lines:
        raise ValueError(f"no {kind} to keep: give at least one")
    content = [json.dumps({k: v for k, v in line.items() if k != "received_at"}, sort_keys=True) for line in lines]
    path = folder(project, kind) / f"{content_id(*content)}.jsonl"
    if path.exists():
        _sync(path.parent)  # whoever wrote it may not have come to this yet
    else:
        # ASCII escapes keep every string writable, half surrogate pairs too; whoever reads it says what is wrong with them
        write_whole(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return path


def read(project: str, kind: str) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Each waiting file with its records, by name. A file that another reader took meanwhile is left out."""
    for path in sorted(folder(project, kind).glob("*.jsonl")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        yield path, [json.loads(line) for line in content.split(b"\n") if line]


def write_whole(path: Path, content: bytes) -> None:
    """Write the file whole or not at all, and have the disk confirm it: written beside, synced, renamed, the folder synced."""
    missing = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
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
    for made in (path.parent, *(p.parent for p in missing)):
        _sync(made)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
