"""Reads label files of the inbox into the table `given_labels`, and makes annotations from that table."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.collection.accept import DEEP, reject
from ml_assets.collection.labels import keep
from ml_assets.errors import InvalidValue
from ml_assets.labeling.annotations import GIVEN, PUSHED, from_given, mark_deleted, not_given, with_stored_ids
from ml_assets.modalities import Modality, Undecodable
from ml_assets.spool import speakers
from ml_assets.spool.inbox import DONE, arrival_of, in_order
from ml_assets.state.clock import moment
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.records import GivenLabel, Reject, why_not
from ml_assets.store.schemas import rows
from ml_assets.tasks import InvalidLabel, Task
from ml_assets.texts.offsets import UNMOVED

SOURCE = "labels"

Read = tuple[GivenLabel, str, bytes]
"""A row of `given_labels`, its origin (file and line number), and the line itself."""


@dataclass(frozen=True)
class GivenResult:
    """The counts of one pass over the label files of the inbox: `received = changed + known + rejected`."""

    received: int
    changed: int
    known: int
    rejected: int


def collect_given(store: ProjectStore, inbox: Path, task: Task, modality: Modality, at: datetime) -> GivenResult:
    """Read the label files of the inbox (`inbox/<project>/labels`) and move each to its folder `done` once it is stored.

    A crash in between reads a file again, which changes nothing. An answer that was given later is never replaced.
    """
    paths = [path for path in in_order(inbox.glob("*.jsonl")) if path.is_file()]
    if not paths:
        return GivenResult(0, 0, 0, 0)
    given, rejects, received = read_labels(paths, task, modality, at)
    if task.names_places():
        given = _within(store, given, task, modality, rejects, at)
    changed, contradicting = keep(store, (row for row, _, _ in given))
    wrong = {id(row) for row in contradicting}
    for row, origin, line in given:
        if id(row) in wrong:
            reason = f"contradicts another label of the same push by {row['labeler']!r}: {row['value']!r} and others"
            rejects.append(reject(SOURCE, origin, reason, line, at))
    store.table("rejects").insert(rows("rejects", rejects))
    done = inbox / DONE
    done.mkdir(exist_ok=True)
    for path in paths:
        os.replace(path, done / path.name)
    return GivenResult(received, changed, received - len(rejects) - changed, len(rejects))


def annotate_given(store: ProjectStore) -> None:
    """Update the annotations that came with the data or through the API from the table `given_labels`."""
    table = store.table("annotations")
    stored = table.read(where=f"origin IN ('{GIVEN}', '{PUSHED}')")
    came = with_stored_ids(from_given(store.table("given_labels").read()), stored)
    table.upsert(came)
    table.upsert(mark_deleted(not_given(stored, came)))


def read_labels(paths: Iterable[Path], task: Task, modality: Modality, at: datetime) -> tuple[list[Read], list[Reject], int]:
    """Parse label files: rows of `given_labels`, each with its origin and line; rows of `rejects`; and the number of lines.

    A line is JSON: `label`, the `labeler` or the `client` who speaks (`ml_assets.spool.speakers`), optionally `labeler_kind`
    and `received_at`, and either `sample_id` or `content`.

    Args:
        paths: JSON Lines files, whose names carry the order of arrival.
        task: Defines valid labels.
        modality: Decodes `content`, from which the sample's id follows.
        at: Time of rejects and of labels without `received_at`.
    """
    given: list[Read] = []
    rejects: list[Reject] = []
    received = 0
    for path, origin, line in _lines(paths):
        received += 1
        try:
            row = _read(line, task, modality, at, arrival_of(path.name) or 0)
            given.append((row, origin, line))
        except (InvalidLabel, Undecodable, speakers.BadName, speakers.MayNotSpeak) as error:
            rejects.append(reject(SOURCE, origin, str(error), line, at))
    return given, rejects, received


def _lines(paths: Iterable[Path]) -> Iterator[tuple[Path, str, bytes]]:
    for path in paths:
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if line.strip():
                yield path, f"{path.name}#{number}", line


def _read(line: bytes, task: Task, modality: Modality, at: datetime, arrival: int) -> GivenLabel:
    """Parse one line of a label file. Raises `InvalidLabel`, `Undecodable`, `BadName` or `MayNotSpeak`."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidLabel(f"not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # invalid UTF-8, or an integer with thousands of digits
        raise InvalidLabel(f"not JSON: {error}") from error
    except RecursionError as error:
        raise InvalidLabel(DEEP) from error
    if not isinstance(record, dict):
        raise InvalidLabel(f"a label is an object, not {type(record).__name__}")
    labeler, kind = speakers.of_line(record)
    (sample, given, item), said = _sample(record, modality), record.get("received_at")
    try:
        given_at = at if said is None else moment(said)
    except InvalidValue as error:
        raise InvalidLabel(f"received_at {error}") from error
    value = task.parse(record.get("label"))
    if item is not None:
        value = task.placed(value, item, modality.offsets(given))
    row: GivenLabel = {
        "id": content_id(sample, labeler),
        "sample_id": sample,
        "labeler": labeler,
        "labeler_kind": kind,
        "value": value,
        "at": given_at,
        "file": None,
        "arrival": arrival,
    }
    if wrong := why_not(row):
        raise InvalidLabel(wrong)
    return row


def _sample(record: dict[str, Any], modality: Modality) -> tuple[str, str | bytes, Any]:
    """The sample's id, and the given content and decoded item if the line names the sample by its content; else "" and None."""
    sample, content = record.get("sample_id"), record.get("content")
    if isinstance(sample, str) and sample:
        return sample, "", None
    if not isinstance(content, str | dict):
        raise InvalidLabel("the label names no sample: give sample_id or content")
    given = modality.from_json(content)
    item = modality.decode(given)
    return modality.sample_id(item), given, item


def _within(
    store: ProjectStore, given: list[Read], task: Task, modality: Modality, rejects: list[Reject], at: datetime
) -> list[Read]:
    """The labels whose positions lie within their samples; the others are appended to `rejects`. Unknown samples pass."""
    samples = store.table("samples").take(sorted({row["sample_id"] for row, _, _ in given}), ["id", modality.column])
    items = dict(zip(*samples.to_pydict().values(), strict=True))
    kept = []
    for row, origin, line in given:
        try:
            if (item := items.get(row["sample_id"])) is not None:
                task.placed(row["value"], item, UNMOVED)
            kept.append((row, origin, line))
        except InvalidLabel as error:
            rejects.append(reject(SOURCE, origin, str(error), line, at))
    return kept
