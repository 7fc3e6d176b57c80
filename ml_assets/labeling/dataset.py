"""Builds the dataset: which samples have which label and are in which split."""

import pyarrow as pa

from ml_assets.state.digests import content_id
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task


def build(labels: pa.Table, samples: pa.Table) -> tuple[pa.Table, str]:
    """Rows of `dataset` by ascending id, and their tag, which is derived from the content: equal content has an equal tag.

    Samples whose annotations conflict, and labels whose sample is not stored (yet), are left out.

    Args:
        labels: Rows of `labels`.
        samples: Rows of `samples`, at least `id` and `split`.
    """
    splits = dict(zip(samples["id"].to_pylist(), samples["split"].to_pylist(), strict=True))
    found = [
        {"id": row["id"], "value": row["value"], "split": splits[row["id"]], "annotation_ids": row["annotation_ids"]}
        for row in labels.sort_by("id").to_pylist()
        if not row["conflict"] and row["value"] is not None and row["id"] in splits
    ]
    digest = content_id(*(f"{len(part)}:{part}" for row in found for part in row.values()))
    return rows("dataset", found), f"ds-{digest[:16]}"


def class_counts(dataset: pa.Table, task: Task) -> dict[str, dict[str, int]]:
    """Number of samples with each class in each split: class → split → samples, sorted by class name."""
    counts: dict[str, dict[str, int]] = {}
    for row in dataset.to_pylist():
        for name in task.classes_in(row["value"]):
            counts.setdefault(name, {"train": 0, "test": 0})[row["split"]] += 1
    return dict(sorted(counts.items()))
