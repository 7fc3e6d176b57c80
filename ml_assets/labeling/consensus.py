"""Labels: the joint answer of all who annotated a sample."""

import json
from collections import defaultdict
from functools import cache
from typing import Any

import pyarrow as pa

from ml_assets.records import rows
from ml_assets.tasks import InvalidLabel, Task


def consolidate(annotations: pa.Table, task: Task) -> pa.Table:
    """One row of `labels` per annotated sample, by ascending id. The order of the annotations does not matter.

    Each labeler has one voice per sample, the newest. Annotations that were taken back do not count, nor those whose class
    the task does not have any more. A sample whose annotations conflict has no value.
    """

    @cache
    def allowed(value: str) -> bool:
        try:
            return task.read(task.write(value)) == value
        except InvalidLabel:
            return False

    voices: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in annotations.to_pylist():
        if row["deleted"] or row["value"] is None or not allowed(row["value"]):
            continue
        known = voices[row["sample_id"]].get(row["labeler"])
        if known is None or _age(row) > _age(known):
            voices[row["sample_id"]][row["labeler"]] = row
    return rows("labels", [_label(sample, voices[sample], task) for sample in sorted(voices)])


def _age(row: dict[str, Any]) -> tuple[Any, str]:
    return row["updated_at"], row["id"]


def _label(sample: str, voices: dict[str, dict[str, Any]], task: Task) -> dict[str, Any]:
    """One label; ids and labelers stand in the same order."""
    chosen = [voices[labeler] for labeler in sorted(voices)]
    joint = task.consensus([row["value"] for row in chosen])
    return {
        "id": sample,
        "value": joint.value,
        "annotators": len(chosen),
        "agreement": joint.agreement,
        "conflict": joint.value is None,
        "annotation_ids": json.dumps([row["id"] for row in chosen]),
        "labelers": json.dumps([row["labeler"] for row in chosen], ensure_ascii=False),
    }
