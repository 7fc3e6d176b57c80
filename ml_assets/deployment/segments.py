"""Inference segments: append-only JSON lines, one open file per process, under `<home>/inference/<project>/`.

A batch is one write, so a killed process tears at most the last line of its file, and readers leave that out. Files are
named `<boot id>-<pid>-<start in ns>.jsonl`: who reads them can see whether their writer is still alive.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.deployment.heartbeat import boot_id

MAX_BYTES = 8_000_000


class SegmentWriter:
    """Appends records to this process's segment of one project; a new file at `max_bytes` and at each new UTC day."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, start: Callable[[], int] = time.time_ns):
        self.folder, self.max_bytes, self._start = folder, max_bytes, start
        self._handle: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._day: str | None = None

    def append(self, records: Sequence[dict[str, Any]], at: datetime) -> None:
        """Write the records in one call. Raises `OSError` if they cannot be stored; the next call starts a new file."""
        data = b"".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for r in records)
        day = at.date().isoformat()
        if self._handle is None or day != self._day or (self._size and self._size + len(data) > self.max_bytes):
            self._open(day)
        assert self._handle is not None
        try:
            written = os.write(self._handle, data)
        except OSError:
            if self._size == 0 and self._path is not None:  # a full disk must not fill up with empty files
                self._path.unlink(missing_ok=True)
            self.close()
            raise
        self._size += written
        if written != len(data):  # the disk is full: what follows must not continue a torn line
            self.close()
            raise OSError(f"only {written} of {len(data)} bytes could be written to {self.folder}")

    def close(self) -> None:
        """Close the file; the next append opens another."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None

    def _open(self, day: str) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / f"{boot_id()[:8]}-{os.getpid()}-{self._start()}.jsonl"
        self._handle = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._size, self._day = os.fstat(self._handle).st_size, day
