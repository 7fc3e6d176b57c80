"""Labels that exist already and come in through the API: from files in the inbox to the table `given_labels`."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from ml_assets.modalities import Modality, Undecodable
from ml_assets.records import content_id, rows
from ml_assets.store import ProjectStore
from ml_assets.tasks import InvalidLabel, Task

KINDS = ("published", "person", "program")
SOURCE = "labels"
EXCERPT = 200


@dataclass(frozen=True)
class GivenResult:
    """What one pass over the inbox did: `received = changed + known + rejected`."""

    received: int
    changed: int
    known: int
    rejected: int


def collect_given(store: ProjectStore, inbox: Path, task: Task, modality: Modality, at: datetime) -> GivenResult:
    """Read the label files of the inbox (`inbox/<project>/labels`) and move each to its folder `done` once it is stored.

    A crash in between reads a file again, which changes nothing. An answer that was given later is never replaced.
    """
    paths = sorted(inbox.glob("*.jsonl"))
    if not paths:
        return GivenResult(0, 0, 0, 0)
    given, rejects, received = read_labels(paths, task, modality, at)
    table = store.table("given_labels")
    stored = {row["id"]: row["at"] for row in table.take(given["id"].to_pylist()).to_pylist()}
    newer = [row["id"] not in stored or row["at"] >= stored[row["id"]] for row in given.to_pylist()]
    changed = table.upsert(given.filter(pa.array(newer, pa.bool_())), ignore=["at"])
    store.table("rejects").insert(rejects)
    done = inbox / "done"
    done.mkdir(exist_ok=True)
    for path in paths:
        os.replace(path, done / path.name)
    return GivenResult(received, changed, received - rejects.num_rows - changed, rejects.num_rows)


def read_labels(paths: Iterable[Path], task: Task, modality: Modality, at: datetime) -> tuple[pa.Table, pa.Table, int]:
    """Rows of `given_labels`, rows of `rejects`, and how many lines were read.

    A line is JSON: `label`, `labeler`, optionally `labeler_kind`, `received_at`, and either `sample_id` or `content`. One
    labeler has one answer per sample: the one received last.

    Args:
        paths: JSON Lines files.
        task: Says which labels there are.
        modality: Decodes `content`, from which the sample's id follows.
        at: Time of what has no `received_at`, and of the rejects.
    """
    given: dict[str, dict[str, Any]] = {}
    rejects: list[dict[str, Any]] = []
    received = 0
    for origin, line in _lines(paths):
        received += 1
        try:
            row = _read(line, task, modality, at)
        except (InvalidLabel, Undecodable) as error:
            excerpt = line[:EXCERPT].encode("utf-8", "replace").decode()
            key = content_id(SOURCE, origin, str(error))
            rejects.append({"id": key, "source": SOURCE, "origin": origin, "reason": str(error), "excerpt": excerpt, "at": at})
            continue
        if row["id"] not in given or row["at"] >= given[row["id"]]["at"]:
            given[row["id"]] = row
    return rows("given_labels", list(given.values())), rows("rejects", rejects), received


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if line.strip():
                yield f"{path.name}#{number}", line


def _read(line: str, task: Task, modality: Modality, at: datetime) -> dict[str, Any]:
    """One label. Raises `InvalidLabel` or `Undecodable`."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidLabel(f"not JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(record, dict):
        raise InvalidLabel(f"a label is an object, not {type(record).__name__}")
    labeler, kind = record.get("labeler"), record.get("labeler_kind") or "published"
    if not isinstance(labeler, str) or not labeler.strip():
        raise InvalidLabel("the label has no labeler: say who or what gave it")
    if kind not in KINDS:
        raise InvalidLabel(f"unknown labeler_kind {kind!r}: choose one of {', '.join(KINDS)}")
    sample = _sample(record, modality)
    return {
        "id": content_id(sample, labeler),
        "sample_id": sample,
        "labeler": labeler,
        "labeler_kind": kind,
        "value": task.check(record.get("label")),
        "at": _time(record.get("received_at"), at),
    }


def _sample(record: dict[str, Any], modality: Modality) -> str:
    sample, content = record.get("sample_id"), record.get("content")
    if isinstance(sample, str) and sample:
        return sample
    if not isinstance(content, str | dict):
        raise InvalidLabel("the label names no sample: give sample_id or content")
    return content_id(modality.type, modality.decode(modality.from_json(content)))


def _time(text: Any, default: datetime) -> datetime:
    if text is None:
        return default
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise InvalidLabel(f"received_at {text!r} is no time: write it as 2026-01-31T12:00:00Z") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
