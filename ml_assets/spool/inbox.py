"""What was pushed to a project and waits to be collected: one file per accepted request, durable before it is acknowledged.

`<home>/inbox/<project>/<kind>/<arrival>-<hash>.jsonl`, one JSON object per line. Arrivals count all pushes of a project, so
that the order in which they came outlives restarts and clocks that jump. Files of earlier versions are named by their hash
alone; they came before all others. The hash follows from the content: a push that is sent again, because its answer was lost,
is the same file.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_assets.errors import InvalidValue
from ml_assets.state.digests import content_id
from ml_assets.state.files import make_folder, sync, write_whole
from ml_assets.state.home import home
from ml_assets.state.names import named
from ml_assets.store.records import Pushed

KINDS = ("samples", "labels")
DONE = "done"
"""Folder beside the labels that were collected."""
NAME = re.compile(r"(?P<arrival>[0-9]{16})-(?P<hash>[0-9a-f]{32})\.jsonl")
COUNTER = re.compile(rb"(?P<arrival>[0-9]{16}) (?P<hash>[0-9a-f]{32})\n")


def folder(project: str, kind: str) -> Path:
    """Where the project's pushes of that kind (`samples` or `labels`) wait. Raises `UnknownProject`."""
    if kind not in KINDS:
        raise InvalidValue(f"unknown kind of push {kind!r}: choose one of {', '.join(KINDS)}")
    return home() / "inbox" / named(project) / kind


def write(project: str, kind: str, lines: Sequence[Pushed]) -> Path:
    """Keep the records; once it returns they survive a loss of power. `received_at` does not count as content.

    The same push again, with no other in between, is the same file.
    """
    if not lines:
        raise InvalidValue(f"no {kind} to keep: give at least one")
    place = folder(project, kind)
    # ASCII escapes keep every string writable, half surrogate pairs too; whoever reads it says what is wrong with them
    written = "".join(json.dumps(line) + "\n" for line in lines).encode()
    content = [json.dumps({k: v for k, v in line.items() if k != "received_at"}, sort_keys=True) for line in lines]
    digest = content_id(kind, *content)
    path = place / f"{_arrival(place.parent, digest):016d}-{digest}.jsonl"
    if path.exists():
        sync(path.parent)  # whoever wrote it may not have come to this yet
    elif not (place / DONE / path.name).exists():
        write_whole(path, written)
    return path


def arrival_of(name: str) -> int | None:
    """The place of a push in the order of all pushes, from the name of its file; None of one from an earlier version."""
    found = NAME.fullmatch(name.rsplit("/", 1)[-1])
    return int(found["arrival"]) if found else None


def in_order(paths: Iterator[Path]) -> list[Path]:
    """The files in the order in which they came."""
    return sorted(paths, key=lambda path: (arrival_of(path.name) or 0, path.name))


def read(project: str, kind: str) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Each waiting file with its records, in order. A file that another reader took meanwhile is left out."""
    for path in in_order(folder(project, kind).glob("*.jsonl")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        yield path, [json.loads(line) for line in content.split(b"\n") if line]


def _arrival(place: Path, digest: str) -> int:
    """The number of a push: the next one, or the last one's if this is the same push again.

    The counter is one small file that is locked while it is read and written, among all processes. If it is damaged or gone,
    the names of the files say how far it had come.
    """
    made, created = make_folder(place), not (path := place / "arrivals").exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # falls when the file is closed, whatever becomes of this process
        found = COUNTER.fullmatch(os.read(descriptor, 64))
        last, newest = (int(found["arrival"]), found["hash"].decode()) if found else _newest(place)
        if newest == digest:
            return last
        os.ftruncate(descriptor, os.pwrite(descriptor, f"{last + 1:016d} {digest}\n".encode(), 0))
        os.fsync(descriptor)
        for parent in (place, *made) if created else ():
            sync(parent)
        return last + 1
    finally:
        os.close(descriptor)


def _newest(place: Path) -> tuple[int, str]:
    """The highest number that a file of the inbox carries, with its hash."""
    names = (
        NAME.fullmatch(path.name) for kind in KINDS for path in [*(place / kind).glob("*"), *(place / kind / DONE).glob("*")]
    )
    return max(((int(name["arrival"]), name["hash"]) for name in names if name), default=(0, ""))
