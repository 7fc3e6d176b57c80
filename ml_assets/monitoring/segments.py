"""The files into which the endpoint's workers write what they answered: which there are, and which are closed for good.

A worker appends to `<boot id>-<pid>-<start>.jsonl`, where `start` is the time at which it opened the file, in nanoseconds
since 1970. It goes on to a new file when this one is large or the UTC day is over, and never returns to an older one.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

NAME = re.compile(r"(?P<boot>[0-9A-Za-z_-]+)-(?P<pid>[0-9]{1,10})-(?P<start>[0-9]{1,19})\.jsonl")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MARGIN = timedelta(hours=1)
"""How long after the end of its day a segment of another boot or machine may still get its last lines."""
CLOCK = 2.0
"""Seconds by which a process's start, which the kernel tells in ticks since boot, may seem later than it was."""


@dataclass(frozen=True)
class Segment:
    """A segment file and what its name says.

    Args:
        path: The file.
        boot: First digits of the boot id of the machine that wrote it; empty if the name is no worker's.
        pid: Process id of the worker.
        start: When the worker opened it, nanoseconds since 1970.
        newest: Whether it is the newest of its process.
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
    """Whether nobody will append to the segment any more. When in doubt it is open.

    A file that carries no worker's name is never closed. One of another boot may belong to another machine on a shared disk,
    whose processes cannot be seen from here: it is closed once its day is over.
    """
    if not segment.boot:
        return False
    if not _boot_id().startswith(segment.boot.replace("-", "").lower()):
        began = datetime.fromtimestamp(segment.start / 1e9, UTC)
        return began.date() < (at.astimezone(UTC) - MARGIN).date()
    return not _may_be_written(segment)


def _may_be_written(segment: Segment) -> bool:
    """Whether the process that opened the segment on this machine may still append to it."""
    import psutil

    try:
        process = psutil.Process(segment.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Asked first, because it needs no clock: after one was set forward, a worker seems younger than its segment.
        if any(Path(file.path) == segment.path.resolve() for file in process.open_files()):
            return True
        # a process that began after the segment has only taken over the number of the one that wrote it
        return segment.newest and process.create_time() <= segment.start / 1e9 + CLOCK
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _boot_id() -> str:
    return BOOT_ID.read_text().strip().replace("-", "").lower() if BOOT_ID.exists() else ""
