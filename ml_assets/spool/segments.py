"""Lists the segments, files in which the endpoint's workers store their answers, and finds out which are closed.

A worker appends to `<boot id>-<pid>-<start>.jsonl`, where `start` is the time at which it opened the file, in nanoseconds
since 1970. It starts a new file when this one is large or the UTC day is over, and never returns to an older one. As long as
it may write to the file it holds an exclusive lock (`flock`) on it, which is visible across containers, where its process is
not. Workers of the previous version held no lock: because of them, the worker's process is looked for as well.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import psutil

from ml_assets.state.processes import boot_id, living

NAME = re.compile(r"(?P<boot>[0-9A-Za-z_-]+)-(?P<pid>[0-9]{1,10})-(?P<start>[0-9]{1,19})\.jsonl")
MARGIN = timedelta(hours=1)
"""Time after the end of its day in which a segment of another boot or machine may still get its last lines."""
CLOCK = 2.0
"""Seconds by which a process's start time, which the kernel counts in ticks since boot, may seem later than it was."""


@dataclass(frozen=True)
class Segment:
    """A segment file and the values in its name.

    Args:
        path: The file.
        boot: First digits of the boot id of the machine that wrote it; empty if the name is not that of a segment.
        pid: Process id of the worker.
        start: When the worker opened it, nanoseconds since 1970.
        newest: Whether it is the newest segment of its process.
    """

    path: Path
    boot: str
    pid: int
    start: int
    newest: bool


def segments(folder: Path) -> list[Segment]:
    """The segments in the folder, the oldest first."""
    found = []
    for path in folder.glob("*.jsonl"):
        name = NAME.fullmatch(path.name)
        found.append((path, name["boot"], int(name["pid"]), int(name["start"])) if name else (path, "", 0, 0))
    last: dict[tuple[str, int], int] = {}
    for _, boot, pid, start in found:
        last[boot, pid] = max(start, last.get((boot, pid), 0))
    made = (Segment(path, boot, pid, start, start == last[boot, pid]) for path, boot, pid, start in found)
    return sorted(made, key=lambda s: (s.start, s.path.name))


def is_closed(segment: Segment, at: datetime) -> bool:
    """Whether nobody will append to the segment any more; when in doubt, or while another process claims it, it is open.

    A file that carries no worker's name is never closed. One of another boot may belong to another machine on a shared disk,
    whose processes and locks may not be seen from here: it is closed once its day is over, as any is where there are no locks.
    """
    try:
        with claimed(segment, at) as closed:
            return closed
    except FileNotFoundError:
        return False


@contextmanager
def claimed(segment: Segment, at: datetime) -> Iterator[bool]:
    """Context manager that gives whether the segment is closed, and keeps others from claiming or deleting it in the block.

    Delete a segment only in here. Raises `FileNotFoundError` if that happened already.
    """
    handle = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lock = _lock(handle)
        if lock == "got" and os.fstat(handle).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(segment.path))
        yield lock != "held" and _is_left(segment, at, handle, seen=lock == "got")
    finally:
        os.close(handle)  # which gives the lock back


def _lock(handle: int) -> Literal["got", "held", "none"]:
    """Try to take the file's lock without waiting; returns `none` if the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError:
        return "none"
    return "got"


def _is_left(segment: Segment, at: datetime, handle: int, seen: bool) -> bool:
    """Whether a segment that no other process is known to have locked is closed.

    Args:
        segment: The segment.
        at: The current time.
        handle: Our own descriptor of it.
        seen: Whether a lock of another process would have been seen.
    """
    if not segment.boot:
        return False
    of_this_boot = boot_id().startswith(segment.boot.replace("-", "").lower())
    if not of_this_boot or not seen:
        began = datetime.fromtimestamp(segment.start / 1e9, UTC)
        if began.date() >= (at.astimezone(UTC) - MARGIN).date():
            return False
    return not of_this_boot or not _may_be_written(segment, handle)


def _may_be_written(segment: Segment, handle: int) -> bool:
    """Whether the process that opened the segment on this machine may still append to it."""
    try:
        if (process := living(segment.pid)) is None:
            return False
        # Asked first, because it needs no clock: after one was set forward, a worker seems younger than its segment.
        ours = handle if segment.pid == os.getpid() else None
        if any(Path(file.path) == segment.path.resolve() and file.fd != ours for file in process.open_files()):
            return True
        # a process that began after the segment has only taken over the number of the one that wrote it
        return segment.newest and process.create_time() <= segment.start / 1e9 + CLOCK
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
