"""Writes inference segments: append-only files of JSON lines, one per process, under `<home>/inference/<project>/`.

A batch is one write, so a killed process leaves at most an incomplete last line, which readers skip. Files are named
`<boot id>-<pid>-<start in ns>.jsonl`. Their writer holds an exclusive lock (`flock`) on the open file from before it gets
that name until it never writes to it again: a process that gets the lock knows that the file is closed, in any container.
"""

import fcntl
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.state.processes import boot_id

MAX_BYTES = 8_000_000
_writers: "weakref.WeakSet[SegmentWriter]" = weakref.WeakSet()


class SegmentWriter:
    """Appends records to this process's segment of one project; starts a new file at `max_bytes` and at each new UTC day.

    Thread-safe. A forked child closes its copy of the parent's file, and opens its own when it appends.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, start: Callable[[], int] = time.time_ns):
        self.folder, self.max_bytes, self._start = folder, max_bytes, start
        self._mutex = threading.Lock()
        self._handle: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._day: str | None = None
        _writers.add(self)

    def append(self, records: Sequence[dict[str, Any]], at: datetime) -> None:
        """Append the records in one write. Raises `OSError` if they cannot be stored; the next call starts a new file."""
        data = b"".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for r in records)
        with self._mutex:
            self._append(data, at.date().isoformat())

    def close(self) -> None:
        """Close the file, which releases its lock; the next append opens another."""
        with self._mutex:
            self._close()

    def _append(self, data: bytes, day: str) -> None:
        if (
            self._handle is None
            or day != self._day
            or (self._size and self._size + len(data) > self.max_bytes)
            or os.fstat(self._handle).st_nlink == 0  # the file was deleted: further records would be lost with it
        ):
            self._open(day)
        assert self._handle is not None
        try:
            written = os.write(self._handle, data)
        except OSError:
            if self._size == 0 and self._path is not None:  # a full disk must not fill up with empty files
                self._path.unlink(missing_ok=True)
            self._close()
            raise
        self._size += written
        if written != len(data):  # the disk is full: what follows must not continue a torn line
            self._close()
            raise OSError(f"only {written} of {len(data)} bytes could be written to {self.folder}")

    def _open(self, day: str) -> None:
        self._close()
        self.folder.mkdir(parents=True, exist_ok=True)
        start = self._start()
        while (path := self.folder / f"{boot_id()[:8]}-{os.getpid()}-{start}.jsonl").exists():  # a clock that does not advance
            start += 1
        part = path.with_suffix(".part")
        handle = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # a file system without locks: readers wait until the file's day is over
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(part, path)  # only now do readers see it
        except BaseException:
            os.close(handle)
            raise
        self._handle, self._path, self._size, self._day = handle, path, 0, day

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None

    def _forked(self) -> None:
        """Close, in a forked child, the copy of the parent's file, which would keep its lock after the parent's end."""
        self._mutex = threading.Lock()  # another thread of the parent may have held it
        self._close()


def _forget_all() -> None:
    for writer in list(_writers):
        writer._forked()


os.register_at_fork(after_in_child=_forget_all)
