"""Makes the items of the report's page, column by column, so that the JSON of thousands of them stays small."""

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.modalities import Modality
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleLabelTask, Task
from ml_assets.visualization.dataset import STATUSES, as_listed
from ml_assets.visualization.script import script_json

KEPT = ("origin", "group", "columns", "split_by")
"""Columns of a sample that the page shows unchanged."""
AT_ONCE = 256
"""Number of samples whose content is in memory at once."""
ITEM_BYTES, ANSWER_BYTES = 200, 200
"""Estimated bytes of an item, and of each annotation of it, on the page besides its content: ids, codes, times."""
PREDICTIONS = ("agrees", "differs", "no label", "not predicted")
"""How a prediction compares with the label; a label that differs may be wrong."""


def items_of(
    rows: pa.Table, annotations: pa.Table, store: ProjectStore, modality: Modality, task: Task, limit: int, size: int
) -> dict[str, Any]:
    """Convert the first rows of `dataset_rows`, as many as fit on the page, to values for JSON.

    They are in the order in which the page lists them (`as_listed`).

    Args:
        rows: The rows, the most important first.
        annotations: Table `annotations`.
        store: The project's tables.
        modality: How an item is shown.
        task: How a label is shown.
        limit: How much of each item is shown, in the modality's unit.
        size: How many bytes the items may take on the page.

    Returns:
        `names`: for each coded column the names of its codes. `items`: one list per column, all of the same length;
        codes are -1 where there is no value. `annotations` holds per item a list of `[labeler, kind, value, created, updated,
        seconds, origin, deleted]`, oldest first; times are seconds since 1970.
    """
    contents = _contents(rows, annotations, store, modality, task, limit, size)
    rows = as_listed(rows.slice(0, len(contents)))
    noted = annotations.filter(pc.is_in(annotations["sample_id"], value_set=rows["id"].combine_chunks()))
    values = _names(task.classes if isinstance(task, SingleLabelTask) else (), rows["value"], rows["predicted"], noted["value"])
    classes = list(dict.fromkeys([*task.classes, *(name for value in values for name in task.classes_in(value))]))
    names = {
        "status": list(STATUSES),
        "value": values,
        "predicted": values,
        "prediction": list(PREDICTIONS),
        "split": _names((), rows["split"]),
        "source": _names((), rows["source"]),
        "model": _names((), rows["model"]),
        "reason": _names((), rows["reason"]),
        "labeler": _names((), noted["labeler"]),
        "kind": _names((), noted["labeler_kind"]),
    }
    coded = ("status", "value", "predicted", "split", "source", "model", "reason")
    return {
        # equal values have equal codes; people read words
        "names": names | {"value": (summaries := [task.summary(v) for v in values]), "predicted": summaries, "class": classes},
        "items": {
            "id": rows["id"].to_pylist(),
            **{name: _codes(rows[name], names[name]) for name in coded},
            "classes": [[classes.index(name) for name in task.classes_in(v)] if v else [] for v in rows["value"].to_pylist()],
            **{name: [contents[i][name] for i in rows["id"].to_pylist()] for name in ("html", "length", *KEPT)},
            "collected": _seconds(rows["collected_at"]),
            "pushed": _seconds(rows["pushed_at"]),
            "task": rows["task_id"].to_pylist(),
            "project": rows["ls_project"].to_pylist(),
            "prediction": _prediction(rows),
            "confidence": _numbers(rows["confidence"], 4),
            "agreement": _numbers(rows["agreement"], 4),
            "annotations": _annotations(rows["id"].to_pylist(), noted, names),
        },
    }


def _contents(
    rows: pa.Table, annotations: pa.Table, store: ProjectStore, modality: Modality, task: Task, limit: int, size: int
) -> dict[str, dict[str, Any]]:
    """Read and render the samples of the first rows, until they fill `size` bytes of the page; returns them by id.

    `length` is the item's full length where it is not shown whole, else 0.
    """
    counted = annotations.group_by("sample_id").aggregate([([], "count_all")])
    answers = dict(zip(counted["sample_id"].to_pylist(), counted["count_all"].to_pylist(), strict=True))
    made: dict[str, dict[str, Any]] = {}
    for start in range(0, rows.num_rows, AT_ONCE):
        part = rows.slice(start, AT_ONCE)
        # the label is drawn onto the item or, if there is none, the prediction
        drawn = dict(zip(part["id"].to_pylist(), pc.coalesce(part["value"], part["predicted"]).to_pylist(), strict=True))
        for sample in store.table("samples").take(list(drawn), ["id", modality.column, *KEPT]).to_pylist():
            item, value = sample[modality.column], drawn[sample["id"]]
            shown = modality.show(item, limit)
            length = modality.length(item) if modality.column == "text" else 0
            content = {
                "html": shown if value is None else task.overlay(shown, item, value, limit),
                "length": length if length > limit else 0,
                **{name: sample[name] for name in KEPT},
            }
            size -= ITEM_BYTES + ANSWER_BYTES * answers.get(sample["id"], 0)
            size -= sum(len(script_json(each).encode("utf-8", "surrogatepass")) for each in (*content.values(), value))
            if size < 0:
                return made
            made[sample["id"]] = content
    return made


def _prediction(rows: pa.Table) -> list[int]:
    """The position in `PREDICTIONS` for each row."""
    missing, unknown = pc.is_null(rows["predicted"]), pc.is_null(rows["expected"])
    found = pc.case_when(pc.make_struct(missing, unknown, rows["differs"]), 3, 2, 1, 0)
    return [int(each) for each in found.to_pylist()]


def _annotations(ids: list[str], noted: pa.Table, names: dict[str, list[str]]) -> list[list[list[Any]]]:
    noted = noted.sort_by([("created_at", "ascending"), ("id", "ascending")])
    columns = (
        _codes(noted["labeler"], names["labeler"]),
        _codes(noted["labeler_kind"], names["kind"]),
        _codes(noted["value"], names["value"]),
        _seconds(noted["created_at"]),
        _seconds(noted["updated_at"]),
        _numbers(noted["lead_seconds"], 1),
        noted["origin"].to_pylist(),
        pc.fill_null(noted["deleted"], False).cast(pa.int8()).to_pylist(),
    )
    position = {sample: i for i, sample in enumerate(ids)}
    found: list[list[list[Any]]] = [[] for _ in ids]
    for sample, *row in zip(noted["sample_id"].to_pylist(), *columns, strict=True):
        found[position[sample]].append(row)
    return found


def _names(first: Sequence[str], *columns: pa.ChunkedArray) -> list[str]:
    """The distinct values of the columns: first those in `first`, in its order, then the others, sorted."""
    others = {value for column in columns for value in pc.unique(column).to_pylist() if value is not None}
    return [*first, *sorted(others - set(first))]


def _codes(column: pa.ChunkedArray, names: list[str]) -> list[int]:
    found = pc.index_in(column, value_set=pa.array(names, pa.string()))
    return list(pc.fill_null(found, -1).to_pylist())


def _seconds(column: pa.ChunkedArray) -> list[int | None]:
    return list(pc.divide(column.cast(pa.int64()), 1_000_000).to_pylist())


def _numbers(column: pa.ChunkedArray, digits: int) -> list[float | None]:
    """Round the values; missing and non-finite ones become None, as JSON has no numbers for them."""
    return [None if v is None or not math.isfinite(v) else round(v, digits) for v in column.to_pylist()]
