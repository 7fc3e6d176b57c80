"""The schemas of a project's tables, by name; the first column of each is its key.

Values whose shape depends on the label task (a class, tags, spans, boxes) are kept as text in a column `value`, written and
read by the task (`ml_assets.tasks`). Nested values are JSON text. Times are UTC, in microseconds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args, get_type_hints

import pyarrow as pa

from ml_assets.store.records import Annotation, Feedback, GivenLabel, Label, Prediction, Reject, Sample

TIME = pa.timestamp("us", tz="UTC")

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "time": TIME,
    "bytes": pa.large_binary(),
}


def _schema(columns: str) -> pa.Schema:
    """Make a schema from the text `name kind, name kind, …`; the first column is the key."""
    pairs = [column.split() for column in columns.split(", ")]
    return pa.schema([pa.field(name, _TYPES[kind], nullable=i > 0) for i, (name, kind) in enumerate(pairs)])


def _of(record: type) -> pa.Schema:
    """Make the schema of a typed record; fields that are no plain values become text."""
    return _schema(", ".join(f"{name} {_kind(hint)}" for name, hint in get_type_hints(record).items()))


def _kind(hint: Any) -> str:
    plain = {str: "text", int: "int", float: "float", bool: "bool", datetime: "time", bytes: "bytes"}
    return next((plain[each] for each in (hint, *get_args(hint)[:1]) if each in plain), "text")


SCHEMAS: dict[str, pa.Schema] = {
    # collection: one row per accepted sample. id = hash of its content, which is in `text` or, for pictures and sounds, in
    # `media`. `split_by`: "source" (fixed by it) or "hash".
    "samples": _of(Sample),
    # one row per record that was rejected, with the reason
    "rejects": _of(Reject),
    # one row per file that was read: received = accepted + duplicates + rejected
    "receipts": _schema(
        "id text, source text, uri text, fingerprint text, received int, accepted int, duplicates int, rejected int, at time"
    ),
    # one row per label that came with the data or through the API, before it becomes an annotation. `file`: for a label that
    # came with the data, the file that it was in; different labels by one labeler for one sample in a file are a
    # contradiction. `arrival`: for a pushed label, its place in the order of all pushes; the newest of each labeler counts
    "given_labels": _of(GivenLabel),
    # labeling: one row per sample that was pushed to Label Studio
    "label_tasks": _schema(
        "id text, task_id int, ls_project int, priority float, reason text, predicted text, model text, pushed_at time"
    ),
    # one row per annotation, by a person or a program. `origin`: label_studio, given (came with the data) or pushed (API).
    # `deleted`: taken back. labeler_kind: person, program, published
    "annotations": _of(Annotation),
    # one row per labelled sample: the consensus of its annotations (ids and labelers as JSON lists)
    "labels": _of(Label),
    # one row per sample of the dataset; a version of this table has the dataset's tag
    "dataset": _schema("id text, value text, split text, annotation_ids text"),
    # features: one row per sample in the feature set, `target` after merges; `recipe` = JSON in feature_sets, where the rows
    # with the newest `at` are the current ones
    "feature_set": _schema("id text, target text, split text"),
    "feature_sets": _schema("id text, name text, dataset text, recipe text, samples int, at time"),
    # training
    "studies": _schema(
        "id text, feature_set text, architecture text, best text, score float, trials text, run_id text, at time"
    ),
    # one row per feature set and architecture that the YAML names, `<feature set>/<architecture>`: `score` on validation
    # samples, `metrics` of its newest model on test samples, `chosen`: this one may serve
    "candidates": _schema(
        "id text, feature_set text, architecture text, study text, score float, model text, metrics text, chosen bool, at time"
    ),
    # `files`: SHA-256 of each file of its folder; `examples`: content and scores, by which it is checked wherever it is loaded
    "models": _schema(
        "id text, run_id text, uri text, study text, dataset text, feature_set text, encoder text, architecture text, "
        "classes text, weights text, code text, at time, files text, examples text"
    ),
    "evaluations": _schema(
        "id text, model text, dataset text, metrics text, samples int, passed bool, reason text, against text, difference "
        "text, at time"
    ),
    # one row per (model, test sample): id = "<model>/<sample>"
    "test_predictions": _schema("id text, model text, sample_id text, target text, label text, confidence float, scores text"),
    # one row per labelled training sample: its prediction by models that learnt neither from it nor from its group
    "cross_predictions": _schema("id text, feature_set text, target text, label text, confidence float, scores text, at time"),
    # deployment
    # `files`: SHA-256 of each file of the model's folder inside
    "bentos": _schema("id text, model text, path text, bytes int, at time, files text"),
    "deployments": _schema(
        "id text, model text, bento text, state text, reason text, checks text, requested_by text, requested_at time, "
        "live_at time"
    ),
    # one row per sample that the batch predicted: the newest prediction
    "batch_predictions": _schema("id text, model text, label text, confidence float, scores text, at time"),
    # monitoring: one row per prediction that the endpoint answered; id = the prediction id. `offsets`: where the characters of
    # `text` were in what the client sent (`ml_assets.texts.offsets`), null if at the same positions
    "inference_log": _of(Prediction),
    "feedback": _of(Feedback),
    # whylogs profiles, serialised; id = "<day>/<model>" for traffic, "reference/<model>" for the model's own data
    "profiles": _schema("id text, day text, model text, rows int, rows_digest text, profile bytes, at time"),
    "drift": _schema(
        "id text, monitor text, column text, model text, day text, score float, threshold float, algorithm text, drifted "
        "bool, rows int, at time"
    ),
    "live_accuracy": _schema(
        "id text, model text, day text, feedback int, correct int, accuracy float, low float, high float, at time"
    ),
    # one row per prediction that monitoring sent back to annotators; `sent` once it is in the inbox
    "picks": _schema("id text, sample_id text, day text, picked_at time, sent bool"),
}

EMBEDDINGS = "embeddings"
"""The folder with the tables of vectors, one per encoder."""


def embedding_schema(dimensions: int) -> pa.Schema:
    """The schema of the table `embeddings/<encoder>`: one `(dimensions,) float32` vector per sample."""
    return pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("vector", pa.list_(pa.float32(), dimensions))])


def rows(name: str, values: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make an Arrow table with the schema of table `name` from a list of rows; missing columns become null."""
    return pa.Table.from_pylist(list(values), schema=SCHEMAS[name])
