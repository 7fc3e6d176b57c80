"""Combines the annotations of each sample into one label."""

import json
from collections import defaultdict
from collections.abc import Collection
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.labeling.annotations import GIVEN, PUSHED
from ml_assets.store import Table
from ml_assets.store.records import Annotation, Label
from ml_assets.store.schemas import rows
from ml_assets.tasks import InvalidLabel, Task

AT_ONCE = 1000
"""Number of rows that are deleted together."""


def consolidate(annotations: pa.Table, task: Task, test: Collection[str] = ()) -> pa.Table:
    """One row of `labels` per annotated sample, by ascending id, whatever the order of the annotations.

    Per sample each labeler's newest annotation counts. Where the data give several labels in one labeler's name, none of them
    counts until he answers anew. Deleted annotations and those of unknown classes do not count. A conflict has no value.

    Args:
        annotations: Rows of `annotations`.
        task: Defines valid answers and the consensus of several.
        test: Ids of the samples in the test split. If their labels came with the data, labels pushed through the API do not
            count: only people in Label Studio may differ.
    """

    @cache
    def allowed(value: str) -> bool:
        try:
            return task.from_label_studio(task.to_label_studio(value)) == value
        except InvalidLabel:
            return False

    said: dict[str, dict[str, list[Annotation]]] = defaultdict(lambda: defaultdict(list))
    out = {row["id"] for row in overruled(annotations, test).to_pylist()} if test else set()
    for row in annotations.to_pylist():
        if not row["deleted"] and row["value"] is not None and allowed(row["value"]) and row["id"] not in out:
            said[row["sample_id"]][row["labeler"]].append(row)
    return rows("labels", [_label(sample, said[sample], task) for sample in sorted(said)])


def overruled(annotations: pa.Table, test: Collection[str]) -> pa.Table:
    """The annotations that were pushed through the API for test samples whose labels came with the data."""
    live = annotations.filter(pc.invert(pc.fill_null(annotations["deleted"], False)))
    of_test = live.filter(pc.is_in(live["sample_id"], pa.array(list(test), pa.string())))
    fixed = of_test.filter(pc.equal(of_test["origin"], GIVEN))["sample_id"].combine_chunks()
    return of_test.filter(pc.and_(pc.equal(of_test["origin"], PUSHED), pc.is_in(of_test["sample_id"], fixed)))


def keep(table: Table, found: pa.Table) -> None:
    """Make the table `labels` hold exactly these rows."""
    table.remove(table.ids() - set(found["id"].to_pylist()))
    table.upsert(found)


def mean_agreement(labels: pa.Table) -> float | None:
    """The mean agreement of the labels with several annotators; None if there are none."""
    several = labels.filter(pc.greater(labels["annotators"], 1))["agreement"].to_pylist()
    return float(np.mean(several)) if several else None


def _age(row: Annotation) -> tuple[Any, str]:
    return row["updated_at"], row["id"]


def _voice(answers: list[Annotation]) -> list[Annotation]:
    """The annotations that count for one labeler: his newest one, or all from the data if these contradict each other."""
    newest = max(answers, key=_age)
    came = [row for row in answers if row["origin"] == GIVEN]
    return came if newest["origin"] == GIVEN and len({row["value"] for row in came}) > 1 else [newest]


def _label(sample: str, said: dict[str, list[Annotation]], task: Task) -> Label:
    """The row of `labels` for one sample; annotation ids and labelers are in the same order."""
    voices = [_voice(said[labeler]) for labeler in sorted(said)]
    clear = [voice[0] for voice in voices if len(voice) == 1]
    # without any other labeler, use the contradicting answers
    chosen = clear or sorted((row for voice in voices for row in voice), key=lambda row: row["id"])
    joint = task.consensus([row["value"] for row in chosen])
    value = joint.value if clear else None
    return {
        "id": sample,
        "value": value,
        "annotators": len(clear) or len(voices),
        "agreement": joint.agreement,
        "conflict": value is None,
        "annotation_ids": json.dumps([row["id"] for row in chosen]),
        "labelers": json.dumps([row["labeler"] for row in chosen], ensure_ascii=False),
    }
