"""Predicts in bulk: the project's unlabelled samples, or the rows of a table."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.collection.sources.base import BadRecord, opened
from ml_assets.collection.sources.reading.delimited import PREDICTED
from ml_assets.collection.sources.reading.rows import format_of, rows_of
from ml_assets.collection.sources.table import columns_of, content_of
from ml_assets.deployment import bento
from ml_assets.deployment.settings import BatchSettings
from ml_assets.deployment.table_file import TableFile
from ml_assets.errors import Missing
from ml_assets.modalities import Undecodable
from ml_assets.state.home import expand
from ml_assets.store import ProjectStore, Table
from ml_assets.store.ledger import serving
from ml_assets.store.schemas import rows
from ml_assets.tasks import Predicted
from ml_assets.texts.offsets import UNMOVED, Offsets
from ml_assets.training.data import inputs_of
from ml_assets.training.trained_model import TrainedModel

SIZE = 1024
"""Number of samples per batch."""
ADDED = pa.schema(zip(PREDICTED, [pa.string(), pa.float64(), pa.string(), pa.string(), pa.string()], strict=True))
"""Columns that are added to each row of a predicted table; `problem` says why a row has no prediction."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Batched:
    """The counts of a bulk prediction.

    Args:
        predicted: Samples that have a prediction by this model now.
        changed: Number of these that are new or differ from before.
        skipped: Rows of the table that hold no valid sample.
        labels: Number of predictions of each class.
        output: The file that was written.
    """

    predicted: int
    changed: int
    skipped: int
    labels: dict[str, int]
    output: str | None = None


@dataclass(frozen=True)
class _Decoded:
    """The decoded content of a row with its offsets, or the problem why there is none."""

    item: Any = None
    offsets: Offsets = UNMOVED
    problem: str | None = None


def live_model(store: ProjectStore) -> TrainedModel:
    """Load the model that serves from its Bento. Raises `Missing` if none serves, `Tampered` if its files were changed."""
    live = serving(store)
    if live is None:
        raise Missing("nothing serves yet: run the asset deployment")
    return bento.opened(store, live.bento, live.model)


def predict(
    store: ProjectStore, model: TrainedModel, settings: BatchSettings, at: datetime, progress: Progress = lambda _: None
) -> Batched:
    """Predict what the settings name: a table, or the project's unlabelled samples."""
    if settings.input is None:
        return predict_unlabelled(store, model, at, progress)
    output = expand(settings.output) if settings.output else None
    return predict_table(store, model, expand(settings.input), settings.content, output, at, progress)


def predict_unlabelled(store: ProjectStore, model: TrainedModel, at: datetime, progress: Progress = lambda _: None) -> Batched:
    """Predict the samples without a label, from stored embeddings if available, and store rows of `batch_predictions`.

    Rows of samples that have a label by now are deleted.
    """
    labelled = store.table("labels").ids("value IS NOT NULL")
    samples = sorted(store.table("samples").ids() - labelled)
    table = store.table("batch_predictions")
    counts, changed = dict.fromkeys(model.classes, 0), 0
    for start in range(0, len(samples), SIZE):
        ids = samples[start : start + SIZE]
        predicted = model.predict_inputs(inputs_of(store, model.architecture, model.modality, model.encoder, ids))
        changed += _keep(table, ids, predicted, model, at, counts)
        progress(start + len(ids))
    table.remove(table.ids() & labelled)
    return Batched(len(samples), changed, 0, counts)


def predict_table(
    store: ProjectStore,
    model: TrainedModel,
    path: str,
    content: str | tuple[str, ...],
    output: str | None,
    at: datetime,
    progress: Progress = lambda _: None,
) -> Batched:
    """Predict every row of a table. Raises `SourceError` if it cannot be read.

    Args:
        store: The project's tables; predictions go to `batch_predictions` under the ids of their content.
        model: The model.
        path: The table: .csv, .tsv, .parquet, .jsonl.
        content: The column that holds the content, or those that hold the parts of mixed samples.
        output: File for the rows with the columns `ADDED`, written whole or not at all.
        at: The time of the predictions.
        progress: Called with the number of rows that are done.
    """
    table, reader = store.table("batch_predictions"), _rows(path, content)
    counts, changed, skipped, done = dict.fromkeys(model.classes, 0), 0, 0, 0
    with ExitStack() as stack:
        file = stack.enter_context(TableFile(Path(output), ADDED)) if output else None
        while batch := list(islice(reader, SIZE)):
            decoded = [_decode(model, row, content) for row in batch]
            good = [one.item for one in decoded if one.problem is None]
            predicted = model.predict(good)
            changed += _keep(table, [model.modality.sample_id(i) for i in good], predicted, model, at, counts)
            skipped += len(batch) - len(good)
            done += len(batch)
            if file is not None:
                file.add(_answered(model, batch, decoded, predicted))
            progress(done)
    return Batched(done - skipped, changed, skipped, counts, output)


def _keep(
    table: Table, ids: Sequence[str], predicted: Predicted, model: TrainedModel, at: datetime, counts: dict[str, int]
) -> int:
    """Store the predictions; return how many are new or changed."""
    values = []
    for key, label, confidence, scores in zip(ids, predicted.labels, predicted.confidence, predicted.scores, strict=True):
        for name in model.task.classes_in(label):
            counts[name] += 1
        values.append({"id": key, "model": model.version, "label": label, "confidence": round(float(confidence), 6),
                       "scores": _scores(model, scores), "at": at})  # fmt: skip
    return table.upsert(rows("batch_predictions", values), ignore=["at"])


def _scores(model: TrainedModel, scores: NDArray[np.float32]) -> str:
    return json.dumps({c: round(float(p), 6) for c, p in zip(model.classes, scores, strict=True)}, ensure_ascii=False)


def _rows(path: str, content: str | tuple[str, ...]) -> Iterator[dict[str, Any] | BadRecord]:
    """Yield the table's rows with all their columns."""
    ending, needed = format_of(path), list(columns_of(content))
    if ending == "parquet":  # only named columns of Parquet files are read, so name all
        import pyarrow.parquet as pq

        with opened(path) as file:
            names = pq.read_schema(file).names
        needed = names if set(needed) <= set(names) else needed
    return rows_of(path, ending, needed)


def _decode(model: TrainedModel, row: dict[str, Any] | BadRecord, content: str | tuple[str, ...]) -> _Decoded:
    """Decode the content of a row."""
    if isinstance(row, BadRecord):
        return _Decoded(problem=row.reason)
    value = content_of(row, content)
    if value is None:
        return _Decoded(problem=f"no content in column {content!r}")
    try:
        given = model.modality.from_json(value) if isinstance(value, str) else value
        return _Decoded(model.modality.decode(given), model.modality.offsets(given))
    except Undecodable as error:
        return _Decoded(problem=str(error))


def _answered(
    model: TrainedModel, batch: Sequence[dict[str, Any] | BadRecord], decoded: Sequence[_Decoded], predicted: Predicted
) -> list[dict[str, Any]]:
    """The rows with the columns `ADDED`; positions in predictions refer to the rows' own content."""
    answers = zip(predicted.labels, predicted.confidence, predicted.scores, strict=True)
    answered = []
    for row, one in zip(batch, decoded, strict=True):
        added: dict[str, Any] = dict.fromkeys(ADDED.names)
        if one.problem is None:
            label, confidence, scores = next(answers)
            label = model.task.placed_back(label, one.offsets)
            values = (label, round(float(confidence), 6), _scores(model, scores), model.version)
            added |= dict(zip(ADDED.names, values, strict=False))
        answered.append(({} if isinstance(row, BadRecord) else row) | added | {"problem": one.problem})
    return answered
