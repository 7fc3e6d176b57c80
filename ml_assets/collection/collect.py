"""Reads what is new in the sources: clean samples in, duplicates counted, bad records set aside with the reason.

Reading a file again, because it changed or because a crash came before its receipt, gives the same tables.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import BadRecord, Source, SourceError, SourceFile, Upload
from ml_assets.modalities import Modality, Undecodable
from ml_assets.records import Record, content_id, rows, split_of
from ml_assets.store import ProjectStore
from ml_assets.tasks import InvalidLabel, Task

EXCERPT = 200
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Collected:
    """What one pass over the sources did.

    Args:
        received: Records read, which is `accepted + duplicates + rejected`.
        problems: One sentence per file or source that could not be read.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    files: int = 0
    problems: tuple[str, ...] = ()


def sample_id(modality: Modality, item: str) -> str:
    """The id of a sample: the hash of its content."""
    return content_id(modality.type, item)


def all_sources(project: str, settings: CollectionSettings) -> list[Source]:
    """The sources of the YAML and the project's inbox."""
    return [*settings.sources, Upload(project=project)]


def new_files(store: ProjectStore, sources: Sequence[Source]) -> tuple[list[tuple[Source, SourceFile]], list[str]]:
    """The files that are new or changed since they were last read, and a sentence for each source that cannot be listed."""
    known = {r["id"]: r["fingerprint"] for r in store.table("receipts").read(["id", "fingerprint"]).to_pylist()}
    found, problems = [], []
    for source in sources:
        try:
            found += [(source, f) for f in source.files() if known.get(content_id(source.name, f.uri)) != f.fingerprint]
        except SourceError as error:
            problems.append(f"source {source.name!r}: {error}")
    return found, problems


def collect(store: ProjectStore, settings: CollectionSettings, task: Task, at: datetime, progress: Progress) -> Collected:
    """Read all that is new. A file that cannot be read is a problem in the result and does not stop the others."""
    found, problems = new_files(store, all_sources(store.project, settings))
    totals = {"received": 0, "accepted": 0, "duplicates": 0, "rejected": 0}
    read = 0
    for source, file in found:
        try:
            counts = _read_file(store, settings, task, source, file, at)
        except SourceError as error:
            problems.append(f"source {source.name!r}: {error}")
            continue
        read += 1
        for name, count in counts.items():
            totals[name] += count
        progress(f"{file.uri}: {counts['received']} received, {counts['accepted']} accepted, {counts['rejected']} rejected")
    return Collected(**totals, files=read, problems=tuple(problems))


def _read_file(
    store: ProjectStore, settings: CollectionSettings, task: Task, source: Source, file: SourceFile, at: datetime
) -> dict[str, int]:
    """Read one file batch by batch; its receipt is written last, with the fingerprint from before the reading."""
    counts = {"received": 0, "accepted": 0, "duplicates": 0, "rejected": 0}
    seen: set[str] = set()
    for batch in source.read(file.uri):
        good, labels, bad = _sort(batch, settings, task, source, at)
        fresh = _merge(store, good, seen, file.uri)
        counts["received"] += len(batch)
        counts["accepted"] += fresh
        counts["duplicates"] += len(good) - fresh
        counts["rejected"] += len(batch) - len(good)
        store.table("given_labels").upsert(rows("given_labels", labels), ignore=["at"])
        store.table("rejects").insert(rows("rejects", bad))
    receipt = {"id": content_id(source.name, file.uri), "source": source.name, "uri": file.uri, "fingerprint": file.fingerprint}
    store.table("receipts").upsert(rows("receipts", [receipt | counts | {"at": at}]), ignore=["at"])
    return counts


def _sort(
    batch: list[Record | BadRecord], settings: CollectionSettings, task: Task, source: Source, at: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of samples, of given labels and of rejects. A good sample with an unknown class is kept, its label rejected."""
    good, labels, bad = [], [], []
    for record in batch:
        name = (isinstance(record, Record) and record.source) or source.name
        if isinstance(record, BadRecord):
            bad.append(_reject(name, record.origin, record.reason, record.excerpt, at))
            continue
        try:
            item = settings.modality.decode(record.content)
            _check_length(settings, item)
        except Undecodable as error:
            bad.append(_reject(name, record.origin, str(error), _excerpt(record.content), at))
            continue
        key = sample_id(settings.modality, item)
        good.append(_sample(key, item, record, name, settings, at))
        if record.label is not None:
            try:
                value = task.check(record.label)
            except InvalidLabel as error:
                bad.append(_reject(name, record.origin + "#label", str(error), _excerpt(record.content), at))
                continue
            labeler = record.labeler or source.name
            labels.append({"id": content_id(key, labeler), "sample_id": key, "labeler": labeler,
                           "labeler_kind": record.labeler_kind, "value": value, "at": at})  # fmt: skip
    return good, labels, bad


def _sample(key: str, item: str, record: Record, source: str, settings: CollectionSettings, at: datetime) -> dict[str, Any]:
    return {
        "id": key,
        "text": item,
        "source": source,
        "origin": record.origin,
        "split": record.split or split_of(key, record.group, settings.test_share),
        "split_by": "source" if record.split else "hash",
        "group": record.group,
        "columns": json.dumps(record.columns, ensure_ascii=False, default=str) if record.columns else None,
        "collected_at": at,
    }


def _merge(store: ProjectStore, good: list[dict[str, Any]], seen: set[str], uri: str) -> int:
    """Insert what is new; return how many records are the first of their content.

    A sample that stands in two places keeps its first origin; where a source fixes its split as test, it is test.
    """
    table = store.table("samples")
    stored = {r["id"]: r for r in table.take([g["id"] for g in good]).to_pylist()}
    write: dict[str, dict[str, Any]] = {}
    accepted = 0
    for row in good:
        key, known = row["id"], write.get(row["id"]) or stored.get(row["id"])
        if key not in seen and (known is None or known["origin"].rsplit("#", 1)[0] == uri):
            accepted += 1
        seen.add(key)
        if known is None:
            write[key] = row
        elif _rank(row) > _rank(known):
            write[key] = known | {"split": row["split"], "split_by": row["split_by"]}
    table.upsert(rows("samples", list(write.values())))
    return accepted


def _rank(row: dict[str, Any]) -> int:
    return 0 if row["split_by"] == "hash" else 2 if row["split"] == "test" else 1


def _check_length(settings: CollectionSettings, item: str) -> None:
    length = settings.modality.length(item)
    if length < settings.min_length:
        raise Undecodable(f"too short: {length:g}, below {settings.min_length:g}")
    if length > settings.max_length:
        raise Undecodable(f"too long: {length:g}, above {settings.max_length:g}")


def _reject(source: str, origin: str, reason: str, excerpt: str, at: datetime) -> dict[str, Any]:
    clean = excerpt.encode("utf-8", "replace").decode()
    return {"id": content_id(source, origin, reason), "source": source, "origin": origin, "reason": reason,
            "excerpt": clean, "at": at}  # fmt: skip


def _excerpt(content: str | bytes) -> str:
    return content[:EXCERPT].decode("utf-8", "replace") if isinstance(content, bytes) else content[:EXCERPT]
