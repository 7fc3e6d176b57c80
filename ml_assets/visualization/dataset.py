"""What is known about every sample, side by side: where it comes from, its label, its task, its prediction."""

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.records import TIME
from ml_assets.store import ProjectStore

STATUSES = ("labelled", "conflict", "waiting", "unlabelled")


def dataset_rows(store: ProjectStore) -> pa.Table:
    """One row per sample, its content left out.

    Columns: `id`, `source`, `split`, `collected_at`; `status`, one of `STATUSES`; `value`, `annotators`, `agreement` of its
    label; `task_id`, `ls_project`, `reason`, `pushed_at` of its Label Studio task; `predicted`, `confidence`, `model` of its
    newest batch prediction; `differs`, true where label and prediction are both known and unequal. Missing ones are null.
    """
    samples = store.table("samples").read(["id", "source", "split", "collected_at"])
    labels = store.table("labels").read(["id", "value", "annotators", "agreement", "conflict"])
    tasks = store.table("label_tasks").read(["id", "task_id", "ls_project", "reason", "pushed_at"])
    predictions = store.table("batch_predictions").read(["id", "label", "confidence", "model"])
    ids = samples["id"].combine_chunks()
    label = _aligned(labels, ids)
    task = _aligned(tasks, ids)
    prediction = _aligned(predictions, ids)
    return pa.table(
        {
            "id": ids,
            "source": pc.fill_null(samples["source"], "unknown"),
            "split": pc.fill_null(samples["split"], "unassigned"),
            "collected_at": samples["collected_at"].cast(TIME),
            "status": _status(label, task),
            **{name: label[name] for name in ("value", "annotators", "agreement")},
            **{name: task[name] for name in ("task_id", "ls_project", "reason", "pushed_at")},
            "predicted": prediction["label"],
            "confidence": prediction["confidence"],
            "model": prediction["model"],
            "differs": pc.fill_null(pc.not_equal(label["value"], prediction["label"]), False),
        }
    )


def first_to_show(rows: pa.Table, limit: int) -> pa.Table:
    """At most `limit` of the rows: labelled ones and conflicts first, then waiting ones, each the newest first."""
    rank = pc.index_in(rows["status"], value_set=pa.array(["waiting", "unlabelled"]))
    ranked = rows.append_column("rank", pc.fill_null(rank, -1))
    order = [("rank", "ascending"), ("collected_at", "descending"), ("id", "ascending")]
    return ranked.sort_by(order).slice(0, limit).drop_columns(["rank"])


def _aligned(table: pa.Table, ids: pa.Array) -> pa.Table:
    """The table's rows in the order of `ids`, null where it has none."""
    found = pc.index_in(ids, value_set=table["id"].combine_chunks())
    return table.combine_chunks().take(found)


def _status(label: pa.Table, task: pa.Table) -> pa.Array:
    known = pc.is_valid(label["id"])
    # a label without a value is one that its annotators could not settle
    conflict = pc.and_(known, pc.or_(pc.fill_null(label["conflict"], False), pc.is_null(label["value"])))
    conditions = pc.make_struct(conflict, known, pc.is_valid(task["id"]))
    return pc.case_when(conditions, "conflict", "labelled", "waiting", "unlabelled")
