"""Joins what the tables hold about each sample: its source, label, Label Studio task and prediction."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.store import ProjectStore, quote
from ml_assets.store.ledger import serving_model
from ml_assets.store.schemas import TIME
from ml_assets.tasks import Task

STATUSES = ("labelled", "conflict", "waiting", "unlabelled")
CROSS_VALIDATION = "cross-validation"
"""Name in the column `model` for predictions by cross-validation, from models that did not learn from the sample."""


def dataset_rows(store: ProjectStore, task: Task) -> pa.Table:
    """Make a table with one row per sample, without its content.

    Columns: `id`, `source`, `split`, `collected_at`; `status`, one of `STATUSES`; `value`, `annotators`, `agreement` of its
    label; `task_id`, `ls_project`, `reason`, `pushed_at` of its Label Studio task; `predicted`, `confidence`, `model` of its
    prediction (`predictions`); `expected`, its label in that model's classes, which may have merged or dropped some;
    `differs`, true where `expected` and `predicted` are both known and unequal. Missing values are null.
    """
    samples = store.table("samples").read(["id", "source", "split", "collected_at"])
    labels = store.table("labels").read(["id", "value", "annotators", "agreement", "conflict"])
    tasks = store.table("label_tasks").read(["id", "task_id", "ls_project", "reason", "pushed_at"])
    ids = samples["id"].combine_chunks()
    label = _aligned(labels, ids)
    queued = _aligned(tasks, ids)
    prediction = _aligned(predictions(store), ids)
    expected = _expected(label["value"], prediction["feature_set"], store, task)
    return pa.table(
        {
            "id": ids,
            "source": pc.fill_null(samples["source"], "unknown"),
            "split": pc.fill_null(samples["split"], "unassigned"),
            "collected_at": samples["collected_at"].cast(TIME),
            "status": _status(label, queued),
            **{name: label[name] for name in ("value", "annotators", "agreement")},
            **{name: queued[name] for name in ("task_id", "ls_project", "reason", "pushed_at")},
            "predicted": prediction["label"],
            "confidence": prediction["confidence"],
            "model": prediction["model"],
            "expected": expected,
            "differs": pc.fill_null(pc.not_equal(expected, prediction["label"]), False),
        }
    )


def predictions(store: ProjectStore) -> pa.Table:
    """Predictions by models that did not learn from the sample: `id`, `label`, `confidence`, `model`, `feature_set`.

    For labelled test samples by the serving model, for labelled training samples by cross-validation, for the others the
    newest batch prediction. At most one row per sample.
    """
    columns = ["id", "label", "confidence", "model", "feature_set"]
    model = _evaluated_model(store)
    tested = store.table("test_predictions").read(["sample_id", "label", "confidence", "model"], f"model = {quote(model)}")
    tested = tested.rename_columns(columns[:4])
    batch = store.table("batch_predictions").read(columns[:4])
    sets = store.table("models").read(["id", "feature_set"])
    found = [each.append_column("feature_set", _aligned(sets, each["model"])["feature_set"]) for each in (tested, batch)]
    crossed = store.table("cross_predictions").read(["id", "label", "confidence", "feature_set"])
    crossed = crossed.append_column("model", pa.array([CROSS_VALIDATION] * crossed.num_rows, pa.string())).select(columns)
    found.insert(1, crossed)
    every = pa.concat_tables([each.select(columns).replace_schema_metadata() for each in found], promote_options="permissive")
    first = dict(zip(reversed(every["id"].to_pylist()), range(every.num_rows - 1, -1, -1), strict=True))
    return every.take(pa.array(sorted(first.values()), pa.int64()))


def _evaluated_model(store: ProjectStore) -> str:
    """The evaluated model to show: the serving one, else the chosen candidate, else the newest; empty if there is none."""
    evaluated = store.table("evaluations").read(["model", "at"]).sort_by([("at", "descending"), ("model", "ascending")])
    known = evaluated["model"].to_pylist()
    live = serving_model(store)
    chosen = store.table("candidates").read(["model"], "chosen")
    wanted = [*filter(None, [live]), *chosen["model"].to_pylist(), *known]
    return next((model for model in wanted if model in known), "")


def _expected(values: pa.ChunkedArray, sets: pa.ChunkedArray, store: ProjectStore, task: Task) -> pa.ChunkedArray:
    """Map each label to the classes of the feature set in the same row; unchanged if the feature set is unknown."""
    recipes = store.table("feature_sets").read(["id", "recipe"])
    targets = {
        name: mapping
        for name, recipe in zip(recipes["id"].to_pylist(), recipes["recipe"].to_pylist(), strict=True)
        if recipe and (mapping := json.loads(recipe)["targets"]) != {each: each for each in task.classes}
    }
    if not set(targets) & set(pc.unique(sets).to_pylist()):
        return values
    pairs = zip(values.to_pylist(), sets.to_pylist(), strict=True)
    mapped = [value if value is None or name not in targets else task.relabel(value, targets[name]) for value, name in pairs]
    return pa.chunked_array([pa.array(mapped, pa.string())])


def first_to_show(rows: pa.Table, limit: int) -> pa.Table:
    """Select at most `limit` rows for the page, the most important ones first.

    First samples whose prediction differs from their label, the most confident first, up to half of the limit; then the
    others in the page's order.
    """
    differing = rows.filter(rows["differs"]).sort_by([("confidence", "descending"), ("id", "ascending")])
    differing = differing.slice(0, (limit + 1) // 2)
    others = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=differing["id"].combine_chunks())))
    return pa.concat_tables([differing, as_listed(others)]).slice(0, limit)


def as_listed(rows: pa.Table) -> pa.Table:
    """Sort the rows in the order in which the page lists them.

    Labelled samples and conflicts first, then waiting ones, then the others; within each, the newest first.
    """
    rank = pc.index_in(rows["status"], value_set=pa.array(["waiting", "unlabelled"]))
    ranked = rows.append_column("rank", pc.fill_null(rank, -1))
    order = [("rank", "ascending"), ("collected_at", "descending"), ("id", "ascending")]
    return ranked.sort_by(order).drop_columns(["rank"])


def _aligned(table: pa.Table, ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Take the table's rows in the order of `ids`, with nulls for ids that it does not have."""
    found = pc.index_in(ids, value_set=table["id"].combine_chunks())
    return table.combine_chunks().take(found)


def _status(label: pa.Table, task: pa.Table) -> pa.Array:
    known = pc.is_valid(label["id"])
    # a label without a value is one that its annotators could not settle
    conflict = pc.and_(known, pc.or_(pc.fill_null(label["conflict"], False), pc.is_null(label["value"])))
    conditions = pc.make_struct(conflict, known, pc.is_valid(task["id"]))
    return pc.case_when(conditions, "conflict", "labelled", "waiting", "unlabelled")
