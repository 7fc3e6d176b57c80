"""Traces a prediction back to its model, run, dataset, deployment, nearest training samples and annotators."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.errors import MLAssetsError
from ml_assets.modalities import Encoder, Modality
from ml_assets.spool.adoption import find
from ml_assets.store import ProjectStore, quote


class UnknownPrediction(MLAssetsError, LookupError):
    """Raised when neither the inference log nor a segment file holds a prediction with the given id."""


@dataclass(frozen=True)
class TracedAnnotation:
    """One annotation of a training sample; `at` is an ISO time."""

    id: str
    labeler: str
    labeler_kind: str
    value: str
    at: str


@dataclass(frozen=True)
class Neighbour:
    """A training sample close to the input of a prediction.

    Args:
        similarity: Cosine of its vector and the input's, at most 1.
        label: The label that it was trained with.
        source: The source that it came from; `origin` is its place there.
    """

    sample_id: str
    similarity: float
    label: str
    text: str | None
    source: str | None
    origin: str | None
    annotations: list[TracedAnnotation]


@dataclass(frozen=True)
class Trace:
    """The origin of a prediction; unknown parts are None, times are ISO text.

    Args:
        prediction: Its row in `inference_log`, with `scores` as a mapping.
        model: The model's row in `models`.
        run_id: The MLflow run that trained the model.
        dataset: Tag of the dataset that the model was trained on.
        deployment: Row of `deployments` under which the model answered; `bento` is its Bento.
        neighbours: The nearest training samples of that dataset, the nearest first.
    """

    prediction: dict[str, Any]
    model: dict[str, Any] | None
    run_id: str | None
    dataset: str | None
    deployment: dict[str, Any] | None
    bento: str | None
    neighbours: list[Neighbour]

    def as_json(self) -> dict[str, Any]:
        """The trace as plain values for `json.dumps`."""
        return asdict(self)


def trace(store: ProjectStore, prediction_id: str, folder: Path, modality: Modality, neighbours: int = 5) -> Trace:
    """Trace a prediction, which may be in the log or still in a segment file in `folder`. Raises `UnknownPrediction`."""
    logged = store.table("inference_log").take([prediction_id]).to_pylist()
    prediction = logged[0] if logged else find(folder, prediction_id)
    if prediction is None:  # moved from the segment to the table between the two look-ups
        prediction = next(iter(store.table("inference_log").take([prediction_id]).to_pylist()), None)
    if prediction is None:
        raise UnknownPrediction(f"no prediction {prediction_id!r} in project {store.project!r}")
    model = next(iter(store.table("models").take([prediction["model"]]).to_pylist()), None)
    deployment = _deployment(store, prediction["model"], prediction["at"])
    near: list[Neighbour] = []
    if model and model["dataset"] and model["encoder"] and prediction[modality.column] is not None and neighbours > 0:
        encoder, item = modality.encoder(model["encoder"]), prediction[modality.column]
        near = _nearest(store, model["dataset"], encoder, item, neighbours)
    prediction.pop("media", None)  # large, and not JSON-able
    return Trace(
        prediction=_plain(prediction) | {"scores": json.loads(prediction["scores"]) if prediction["scores"] else None},
        model=_plain(model) if model else None,
        run_id=model["run_id"] if model else None,
        dataset=model["dataset"] if model else None,
        deployment=_plain(deployment) if deployment else None,
        bento=deployment["bento"] if deployment else None,
        neighbours=near,
    )


def _deployment(store: ProjectStore, model: str, at: datetime) -> dict[str, Any] | None:
    """The row of `deployments` under which the model answered at that time: the newest that was live by then."""
    served = store.table("deployments").read(where=f"model = {quote(model)} AND live_at IS NOT NULL").to_pylist()
    served.sort(key=lambda d: d["live_at"])
    before = [d for d in served if d["live_at"] <= at]
    # a worker answers with the new model a moment before the ledger says that all of them do
    return before[-1] if before else next(iter(served), None)


def _nearest(store: ProjectStore, tag: str, encoder: Encoder, item: Any, count: int) -> list[Neighbour]:
    train = store.table("dataset").read(["id", "value", "annotation_ids"], "split = 'train'", tag).to_pylist()
    table = store.embeddings(encoder.name, encoder.dimensions).take([row["id"] for row in train], ["id", "vector"])
    if not table.num_rows:
        return []
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, encoder.dimensions)
    similarity = _cosine(vectors, encoder.encode([item])[0])
    order = np.argsort(-similarity, kind="stable")[:count]
    ids = table["id"].take(order).to_pylist()
    rows = {row["id"]: row for row in train}
    samples = {s["id"]: s for s in store.table("samples").take(ids, ["id", "text", "source", "origin"]).to_pylist()}
    given = {i: json.loads(rows[i]["annotation_ids"] or "[]") for i in ids}
    wanted = [a for each in given.values() for a in each]
    annotations = {a["id"]: a for a in store.table("annotations").take(wanted).to_pylist()}
    near = []
    for key, position in zip(ids, order, strict=True):
        sample = samples.get(key, {})
        near.append(
            Neighbour(
                key,
                round(float(similarity[position]), 4),
                rows[key]["value"],
                sample.get("text"),
                sample.get("source"),
                sample.get("origin"),
                [_annotation(annotations[a]) for a in given[key] if a in annotations],
            )
        )
    return near


def _cosine(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(n,)` cosine of each of `(n, d)` vectors with a `(d,)` query; 0 where one of them is the zero vector."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.asarray(np.divide(vectors @ query, lengths, out=np.zeros_like(lengths), where=lengths > 0))


def _annotation(row: dict[str, Any]) -> TracedAnnotation:
    time = row["updated_at"] or row["created_at"]
    return TracedAnnotation(row["id"], row["labeler"], row["labeler_kind"], row["value"], time.isoformat() if time else "")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
