"""Copies the segments that the endpoint's workers write into the tables `inference_log` and `feedback`.

Rows go in by their id, so that adopting a segment again, after a kill or beside another reader, changes nothing. A segment is
deleted only when it is closed and all its rows are in the tables; until then it is read on from where the last reading ended.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.spool.lines import from_line
from ml_assets.spool.segments import Segment, claimed, is_closed, segments
from ml_assets.state.files import write_whole
from ml_assets.store import ProjectStore
from ml_assets.store.records import Prediction
from ml_assets.store.schemas import rows

BATCH = 4096
MEMORY = "adopted.json"
"""File beside the segments: how far each was read, and its size then. If it is lost, the segments are read again."""


@dataclass(frozen=True)
class AdoptResult:
    """The counts of one call of `adopt`.

    Args:
        predictions: Rows that were new in `inference_log`.
        feedback: Rows that were new in `feedback`, or newer than the stored ones.
        bad_lines: Lines that are neither; those of closed segments are saved in `<segment>.bad`.
    """

    predictions: int
    feedback: int
    bad_lines: int


@dataclass(frozen=True)
class _Mark:
    """How far a segment was read, and how large it was then.

    Args:
        read: Bytes whose rows are in the tables: up to the end of the last whole line.
        size: Size of the segment in bytes.
    """

    read: int
    size: int


def adopt(store: ProjectStore, folder: Path, at: datetime) -> AdoptResult:
    """Copy what the workers wrote into the tables; safe to interrupt at any moment and to call again."""
    before, marks = _remembered(store, folder), dict[str, _Mark]()
    predictions = feedback = bad_lines = 0
    for segment in segments(folder):
        try:
            with claimed(segment, at) as closed:  # before reading: what is closed now grows no more
                # a closed one is read whole, whatever is remembered: it is the last chance
                mark = _Mark(0, 0) if closed else before.get(segment.path.name, _Mark(0, 0))
                reading = _Reading(segment, mark, closed)
                for made, given in reading.batches():
                    predictions += store.table("inference_log").insert(rows("inference_log", made)) if made else 0
                    feedback += _keep_newest(store, given)
                bad_lines += len(reading.bad)
                if closed:
                    if reading.bad:
                        bad = b"".join(line.rstrip(b"\n") + b"\n" for line in reading.bad)
                        write_whole(segment.path.with_suffix(".bad"), bad)
                    segment.path.unlink(missing_ok=True)
                else:
                    marks[segment.path.name] = _Mark(reading.end, max(reading.end, mark.size, reading.size))
        except FileNotFoundError:  # another reader adopted and deleted it meanwhile
            continue
    if marks != before:
        _remember(store, folder, marks)
    return AdoptResult(predictions, feedback, bad_lines)


def pending(store: ProjectStore, folder: Path, at: datetime) -> bool:
    """Whether there is data that was not adopted yet, judged by the names and sizes of the segments."""
    known = _remembered(store, folder)
    for segment in segments(folder):
        mark = known.get(segment.path.name, _Mark(0, 0))
        try:
            size = segment.path.stat().st_size
        except FileNotFoundError:
            continue
        # half a last line counts once it has grown, or once it is clear that it will not
        if size != mark.read and (size != mark.size or is_closed(segment, at)):
            return True
    return False


def find(folder: Path, prediction_id: str) -> dict[str, Any] | None:
    """The row of a prediction that is still in a segment; None if there is none with this id."""
    wanted = json.dumps(prediction_id, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    for segment in segments(folder):
        try:
            with segment.path.open("rb") as file:
                for line in file:
                    found = from_line(line) if wanted in line else None
                    if isinstance(found, Prediction) and found.id == prediction_id:
                        return found.row()
        except FileNotFoundError:  # adopted meanwhile: the table has it
            continue
    return None


def _keep_newest(store: ProjectStore, given: list[dict[str, Any]]) -> int:
    """Store the feedback rows that are newer than stored ones with the same id; return how many.

    The same answer by the same client has the same id, so a client that changes its answer and changes it back repeats an id.
    """
    newest = {row["id"]: row for row in sorted(given, key=lambda row: row["at"])}
    stored = store.table("feedback").take(list(newest), ["id", "at"]).to_pydict()
    older = dict(zip(stored["id"], stored["at"], strict=True))
    better = [row for row in newest.values() if row["id"] not in older or row["at"] > older[row["id"]]]
    return store.table("feedback").upsert(rows("feedback", better)) if better else 0


class _Reading:
    """One pass over a segment, from the byte `mark.read` on."""

    def __init__(self, segment: Segment, mark: _Mark, closed: bool):
        self.path, self.closed = segment.path, closed
        self.size = os.stat(self.path).st_size
        self.end = mark.read if mark.read <= self.size else 0
        self.bad: list[bytes] = []

    def batches(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        """Iterate over pairs (predictions, feedback) of rows, at most `BATCH` together; other lines go to `bad`."""
        made, given = list[dict[str, Any]](), list[dict[str, Any]]()
        for line in self._lines():
            found = from_line(line)
            if found is None:
                self.bad.append(line)
                continue
            (made if isinstance(found, Prediction) else given).append(found.row())
            if len(made) + len(given) >= BATCH:
                yield made, given
                made, given = [], []
        yield made, given

    def _lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.end)
            for line in file:
                if not line.endswith(b"\n") and not self.closed:
                    return  # being written: its rest would look like a line of its own
                self.end += len(line)
                if line.strip():
                    yield line


def _remembered(store: ProjectStore, folder: Path) -> dict[str, _Mark]:
    try:
        value = json.loads((folder / MEMORY).read_bytes())
        if value["store"] != store.uri:  # the tables were moved: what was read may not be in these
            return {}
        return {name: _Mark(int(read), int(size)) for name, (read, size) in value["segments"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remember(store: ProjectStore, folder: Path, marks: dict[str, _Mark]) -> None:
    value = {"store": store.uri, "segments": {name: [mark.read, mark.size] for name, mark in marks.items()}}
    write_whole(folder / MEMORY, json.dumps(value).encode())
