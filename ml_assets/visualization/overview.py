"""Computes counts over the whole dataset: classes, splits, sources, labelling progress, agreement, labelers, rejects."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.visualization.dataset import STATUSES

REJECTS_SHOWN = 200


@dataclass(frozen=True)
class SourceCounts:
    """The counts of one source: its current samples, and the records received from its files (table `receipts`)."""

    name: str
    samples: int
    received: int
    accepted: int
    duplicates: int
    rejected: int


@dataclass(frozen=True)
class LabelerCounts:
    """The counts of one labeler.

    Args:
        shared: Annotations of samples that others annotated too.
        agreement: Mean share of the others' answers to those samples that are the same; None if there are none.
        median_seconds: Median time of one annotation in seconds.
    """

    name: str
    kind: str
    annotations: int
    shared: int
    agreement: float | None
    median_seconds: float | None
    last: datetime | None


@dataclass(frozen=True)
class PredictionCounts:
    """How predictions compare with labels; each is by a model that did not learn from the sample."""

    models: list[str]
    predicted: int
    compared: int
    differ: int


@dataclass(frozen=True)
class Overview:
    """The counts and figures of a dataset.

    Args:
        statuses: Samples per status, in the order of `STATUSES`.
        splits: Samples per split, the largest first.
        classes: Labelled samples in which each class occurs, per class and split, the task's classes first, in its order.
        sources: The counts of each source, the largest first.
        labelers: The counts of each labeler, the busiest first. Deleted annotations do not count.
        shared: Labelled samples that at least two labelers annotated; `agreement` is their mean, None if there are none.
        days: Annotations per day (UTC) and labeler, the oldest day first, without labels that came with the data.
        reasons: Rejected records per reason, the commonest first.
        rejects: The newest rejected records, at most `REJECTS_SHOWN`, as rows of the table `rejects`.
    """

    samples: int
    statuses: dict[str, int]
    splits: dict[str, int]
    classes: dict[str, dict[str, int]]
    sources: list[SourceCounts]
    labelers: list[LabelerCounts]
    shared: int
    agreement: float | None
    days: dict[date, dict[str, int]]
    predictions: PredictionCounts | None
    rejected: int
    reasons: dict[str, int]
    rejects: list[dict[str, Any]]

    @property
    def labelled_per_class(self) -> dict[str, int]:
        """The number of labelled samples per class, in the order of `classes`."""
        return {name: sum(splits.values()) for name, splits in self.classes.items()}


def overview(rows: pa.Table, annotations: pa.Table, store: ProjectStore, task: Task) -> Overview:
    """Compute the figures of a dataset from its rows (`dataset_rows`), its annotations, and the project's tables."""
    live = annotations.filter(pc.invert(pc.fill_null(annotations["deleted"], False)))
    shared = rows.filter(pc.greater_equal(rows["annotators"], 2))
    rejects = store.table("rejects").read()
    statuses = _counts(rows, "status")
    return Overview(
        samples=rows.num_rows,
        statuses={name: statuses.get(name, 0) for name in STATUSES},
        splits=_counts(rows, "split"),
        classes=_classes(rows, task),
        sources=_sources(rows, store),
        labelers=_labelers(live),
        shared=shared.num_rows,
        agreement=pc.mean(shared["agreement"]).as_py(),
        days=_days(live),
        predictions=_predictions(rows),
        rejected=rejects.num_rows,
        reasons=_counts(rejects, "reason"),
        rejects=rejects.sort_by([("at", "descending"), ("id", "ascending")]).slice(0, REJECTS_SHOWN).to_pylist(),
    )


def _counts(table: pa.Table, column: str) -> dict[str, int]:
    """Count how often each value of a column occurs, the most frequent first."""
    counted = table.group_by(column).aggregate([([], "count_all")])
    counted = counted.sort_by([("count_all", "descending"), (column, "ascending")])
    return dict(zip(counted[column].to_pylist(), counted["count_all"].to_pylist(), strict=True))


def _classes(rows: pa.Table, task: Task) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {name: {} for name in task.classes}
    counted = rows.filter(pc.is_valid(rows["value"])).group_by(["value", "split"]).aggregate([([], "count_all")])
    for row in counted.sort_by("value").to_pylist():
        for name in task.classes_in(row["value"]):
            splits = counts.setdefault(name, {})
            splits[row["split"]] = splits.get(row["split"], 0) + row["count_all"]
    return counts


def _sources(rows: pa.Table, store: ProjectStore) -> list[SourceCounts]:
    samples = _counts(rows, "source")
    names = ("received", "accepted", "duplicates", "rejected")
    read = store.table("receipts").read(["source", *names])
    summed = read.group_by("source").aggregate([(name, "sum") for name in names]).to_pylist()
    receipts: Mapping[str, dict[str, int]] = {row["source"]: {n: row[f"{n}_sum"] or 0 for n in names} for row in summed}
    nothing = dict.fromkeys(names, 0)
    everywhere = [*samples, *sorted(set(receipts) - set(samples))]
    return [SourceCounts(name, samples.get(name, 0), **receipts.get(name, nothing)) for name in everywhere]


def _labelers(live: pa.Table) -> list[LabelerCounts]:
    same = live.group_by(["sample_id", "value"]).aggregate([([], "count_all")]).rename_columns({"count_all": "same"})
    together = live.group_by("sample_id").aggregate([([], "count_all")]).rename_columns({"count_all": "together"})
    noted = live.join(same, ["sample_id", "value"]).join(together, "sample_id")
    others = pc.subtract(noted["together"], 1)
    shared = pc.greater(others, 0)
    # of the other answers to the same sample, the share that is the same; null where there is no other
    agreement = pc.divide(pc.cast(pc.subtract(noted["same"], 1), pa.float64()), pc.if_else(shared, others, None))
    counted = (
        noted.append_column("shared", shared)
        .append_column("agreement", agreement)
        .group_by("labeler")
        .aggregate(
            [
                ([], "count_all"),
                ("labeler_kind", "max"),
                ("shared", "sum"),
                ("agreement", "mean"),
                ("lead_seconds", "approximate_median"),
                ("created_at", "max"),
            ]
        )
        .sort_by([("count_all", "descending"), ("labeler", "ascending")])
    )
    return [
        LabelerCounts(
            name=row["labeler"] or "unknown",
            kind=row["labeler_kind_max"] or "unknown",
            annotations=row["count_all"],
            shared=row["shared_sum"] or 0,
            agreement=row["agreement_mean"],
            median_seconds=row["lead_seconds_approximate_median"],
            last=row["created_at_max"],
        )
        for row in counted.to_pylist()
    ]


def _days(live: pa.Table) -> dict[date, dict[str, int]]:
    dated = live.filter(pc.and_(pc.is_valid(live["created_at"]), pc.not_equal(live["labeler_kind"], "published")))
    dated = dated.append_column("day", pc.cast(dated["created_at"], pa.date32()))
    days: dict[date, dict[str, int]] = defaultdict(dict)
    for row in dated.group_by(["day", "labeler"]).aggregate([([], "count_all")]).sort_by("day").to_pylist():
        days[row["day"]][row["labeler"] or "unknown"] = row["count_all"]
    return dict(days)


def _predictions(rows: pa.Table) -> PredictionCounts | None:
    predicted = rows.filter(pc.is_valid(rows["predicted"]))
    if predicted.num_rows == 0:
        return None
    return PredictionCounts(
        models=list(_counts(predicted, "model")),
        predicted=predicted.num_rows,
        compared=predicted.num_rows - predicted["expected"].null_count,
        differ=pc.sum(predicted["differs"]).as_py() or 0,
    )
