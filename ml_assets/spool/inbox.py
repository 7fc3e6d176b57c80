"""The inbox of samples and labels that were pushed to a project and wait to be collected: one file per accepted request.

`<home>/inbox/<project>/<kind>/<arrival>-<hash>.jsonl`, one JSON object per line, durable before the request is acknowledged.
Arrivals count all pushes of a project, so that their order survives restarts and changes of the clock. Files of earlier
versions are named by their hash alone and count as older than all others. The hash follows from the content: a push that is
sent again, because its answer was lost, is the same file.
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
"""Subfolder for files of labels that were collected."""
NAME = re.compile(r"(?P<arrival>[0-9]{16})-(?P<hash>[0-9a-f]{32})\.jsonl")
COUNTER = re.compile(rb"(?P<arrival>[0-9]{16}) (?P<hash>[0-9a-f]{32})\n")


def folder(project: str, kind: str) -> Path:
    """The folder with the project's waiting pushes of a kind, `samples` or `labels`. Raises `UnknownProject`."""
    if kind not in KINDS:
        raise InvalidValue(f"unknown kind of push {kind!r}: choose one of {', '.join(KINDS)}")
    return home() / "inbox" / named(project) / kind


def write(project: str, kind: str, lines: Sequence[Pushed]) -> Path:
    """Write the records to a file of the inbox, durably, and return its path.

    The same push again, with no other in between, gives the same file; `received_at` does not count as a difference.
    """
    if not lines:
        raise InvalidValue(f"no {kind} to keep: give at least one")
    place = folder(project, kind)
    # ASCII escapes make every string writable, even lone surrogates, which the reader rejects with a reason
    written = "".join(json.dumps(line) + "\n" for line in lines).encode()
    content = [json.dumps({k: v for k, v in line.items() if k != "received_at"}, sort_keys=True) for line in lines]
    digest = content_id(kind, *content)
    path = place / f"{_arrival(place.parent, digest):016d}-{digest}.jsonl"
    if path.exists():
        sync(path.parent)  # the process that wrote it may not have synced the folder yet
    elif not (place / DONE / path.name).exists():
        write_whole(path, written)
    return path


def arrival_of(name: str) -> int | None:
    """The number of a push in the order of all pushes, from its file's name; None for a file of an earlier version."""
    found = NAME.fullmatch(name.rsplit("/", 1)[-1])
    return int(found["arrival"]) if found else None


def in_order(paths: Iterator[Path]) -> list[Path]:
    """Sort files of the inbox in the order in which they arrived."""
    return sorted(paths, key=lambda path: (arrival_of(path.name) or 0, path.name))


def read(project: str, kind: str) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Iterate over the waiting files with their records, in order; a file that another reader took meanwhile is skipped."""
    for path in in_order(folder(project, kind).glob("*.jsonl")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        yield path, [json.loads(line) for line in content.split(b"\n") if line]


def _arrival(place: Path, digest: str) -> int:
    """Assign the next number to a push, or the last number again if its content is the same.

    The counter is one small file, which is locked while a process reads and writes it. If it is damaged or missing, it is
    restored from the names of the inbox's files.
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
    """The highest number in the names of the inbox's files, with the hash of that file; `(0, "")` if there is none."""
    names = (
        NAME.fullmatch(path.name) for kind in KINDS for path in [*(place / kind).glob("*"), *(place / kind / DONE).glob("*")]
    )
    return max(((int(name["arrival"]), name["hash"]) for name in names if name), default=(0, ""))
