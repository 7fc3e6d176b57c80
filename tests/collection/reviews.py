"""A project that collects reviews, and how its tables look as plain values."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_assets.collection.collect import Collected, collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import BadRecord, Source, TableSource
from ml_assets.collection.sources.reading.places import uri_of
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.records import Record
from ml_assets.tasks import SingleChoice

AT = datetime(2026, 3, 9, tzinfo=UTC)
TASK = SingleChoice(classes=("good", "bad"))
TIMES = ("at", "collected_at")


def settings(*sources: Source, **options: Any) -> CollectionSettings:
    return CollectionSettings(modality=Text(), sources=sources, **options)


def table(path: Path, name: str = "first", **options: Any) -> TableSource:
    return TableSource(name=name, path=str(path), **options)


def write_csv(
    path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str] = ("text", "label"), delimiter: str = ","
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def uri(path: Path) -> str:
    return uri_of(str(path))


def read(source: Source) -> list[Record | BadRecord]:
    return [record for file in source.files() for batch in source.read(file.uri) for record in batch]


def run(store: ProjectStore, *sources: Source, task: SingleChoice = TASK, **options: Any) -> Collected:
    return collect(store, settings(*sources, **options), task, AT, lambda sentence: None)


def texts(store: ProjectStore, where: str | None = None) -> list[str]:
    return sorted(store.table("samples").read(["text"], where)["text"].to_pylist())


def reasons(store: ProjectStore) -> list[str]:
    return sorted(store.table("rejects").read(["reason"])["reason"].to_pylist())


def tables(store: ProjectStore) -> dict[str, list[dict[str, Any]]]:
    """All that was collected, without the times of writing."""
    return {
        name: [
            {k: v for k, v in row.items() if k not in TIMES}
            for row in sorted(store.table(name).read().to_pylist(), key=lambda row: row["id"])
        ]
        for name in ("samples", "given_labels", "rejects", "receipts")
    }
