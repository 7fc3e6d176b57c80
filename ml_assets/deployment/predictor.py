"""Predicts the samples of requests with one model, and records predictions; independent of HTTP and Dagster."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml_assets.compute import limit_threads
from ml_assets.deployment.batcher import Finished
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.errors import MLAssetsError
from ml_assets.modalities import Encoder, Undecodable
from ml_assets.registry import Settings
from ml_assets.spool.lines import to_line
from ml_assets.spool.writer import SegmentWriter
from ml_assets.store.records import Prediction, prediction_id
from ml_assets.tasks import TASKS, Task
from ml_assets.texts.offsets import UNMOVED, Offsets
from ml_assets.training.seal import Seal
from ml_assets.training.trained_model import TrainedModel

LIMITS_FILE = "limits.json"
"""Name of the file beside the model in a Bento that holds the project's `Limits`."""
DIGITS = 6
"""Number of decimal places of probabilities."""
MOST_WORK = 80_000_000
"""Maximum cost of decoding one request: pixels, samples of sounds (all channels) and characters together."""
ORDINARY = 4000
"""Number of characters of a text that count as one ordinary sample in a run."""
_warm: list[Encoder] = []
"""Encoders that this process has loaded."""


class Limits(Settings):
    """The limits on one request."""

    max_batch: int = DeploymentSettings.model_fields["max_batch"].default
    """Maximum number of samples."""
    max_characters: int = DeploymentSettings.model_fields["max_characters"].default
    """Maximum number of characters of one text."""
    requests_per_minute: int = DeploymentSettings.model_fields["requests_per_minute"].default
    """Maximum number of requests per minute with one key, in each worker."""
    task: dict[str, Any] | None = None
    """The project's label task; it may have more classes than the model."""


class BadSample(MLAssetsError, ValueError):
    """Raised for a sample that cannot be predicted; the message is the reason."""


@dataclass(frozen=True)
class Outcome:
    """The model's prediction for one sample.

    Args:
        label: The predicted value of the label task.
        confidence: Confidence of the prediction, 0 to 1.
        scores: Score of each class, 0 to 1.
    """

    label: str
    confidence: float
    scores: dict[str, float]


@dataclass(frozen=True, eq=False)
class Sample:
    """A decoded sample.

    Args:
        item: The item as it is recorded.
        prepared: Input of the model, as far as it can be computed without a network.
        weight: Number of ordinary samples for which it counts.
        offsets: Positions of the item's characters in what the client sent.
    """

    item: Any
    prepared: Any
    weight: float = 1.0
    offsets: Offsets = UNMOVED


@dataclass(frozen=True)
class Answer:
    """The predictions of one request, as they are sent."""

    model: str
    at: datetime
    predictions: list[dict[str, Any]]


class Predictor:
    """One loaded model that predicts requests and records its predictions.

    Args:
        model: The model.
        limits: The limits on one request.
        segments: Records its predictions.
        clock: Returns the current time in UTC.
    """

    def __init__(self, model: TrainedModel, limits: Limits, segments: SegmentWriter, clock: Callable[[], datetime]):
        self.model, self.limits, self.segments, self._clock = model, limits, segments, clock
        self.project = str(model.description["project"])
        self.version = model.version
        self.classes = model.classes
        self._task: Task | None = TASKS.parse(limits.task) if limits.task else None

    @classmethod
    def load(
        cls, folder: Path, segments: Callable[[str], SegmentWriter], clock: Callable[[], datetime], seal: Seal | None = None
    ) -> "Predictor":
        """Load the model in the folder with its encoder, without the self-check. Raises `ModelError`, `Tampered`.

        Args:
            folder: Folder with `model.json`, `model.safetensors` and, in a Bento, `limits.json`.
            segments: Returns the segment writer of a project.
            clock: Returns the current time in UTC.
            seal: What the folder must match.
        """
        import torch

        torch.set_num_threads(1)  # one thread per worker: several on a busy machine slow each other down
        model = TrainedModel.load(folder, seal)
        # the encoder is not in use yet, so it may be loaded in any thread
        if model.architecture.embedded and model.encoder not in _warm:
            examples = [model.modality.from_json(e["content"]) for e in model.examples[:1]]
            model.encoder.encode(examples)
            _warm.append(model.encoder)
        limits = folder / LIMITS_FILE
        chosen = Limits(**json.loads(limits.read_text(encoding="utf-8"))) if limits.exists() else Limits()
        return cls(model, chosen, segments(str(model.description["project"])), clock)

    def work(self, content: str | bytes | Mapping[str, Any]) -> float:
        """The cost of decoding a sample: pixels, samples of a sound, or characters. Raises `BadSample`."""
        modality = self.model.modality
        try:
            return modality.work(content if isinstance(content, bytes) else modality.from_json(content))
        except Undecodable as error:
            raise BadSample(str(error)) from error

    def decode(self, content: str | bytes | Mapping[str, Any]) -> Sample:
        """Decode a sample from JSON or a file (`bytes`) and prepare it for the model; thread-safe. Raises `BadSample`."""
        modality = self.model.modality.bounded(MOST_WORK)
        try:
            given = content if isinstance(content, bytes) else modality.from_json(content)
            item = modality.decode(given)
        except Undecodable as error:
            raise BadSample(str(error)) from error
        longest = self.limits.max_characters if modality.unit == "characters" else modality.bounds[1]
        if (length := modality.length(item)) > longest:
            raise BadSample(f"too long: {length:,.0f} {modality.unit}, more than {longest:,.0f}")
        # all of a text is tokenized before it is truncated for the model
        weight = 1.0 if modality.has_files else max(1.0, len(item) / ORDINARY)
        offsets = modality.offsets(given) if self.model.task.names_places() else UNMOVED
        return Sample(item, self._prepared(item), weight, offsets)

    def _prepared(self, item: Any) -> Any:
        if not self.model.modality.has_files:
            return item
        limit_threads()
        if self.model.architecture.embedded:
            return self.model.encoder.prepared(item)
        return self.model.architecture.inputs([item], self.model.encoder)

    def check_label(self, label: Any, content: str | bytes = "", item: Any = None) -> str:
        """Validate a label from outside and return its value. Raises `InvalidLabel` with the choices.

        Args:
            label: The label as it was given.
            content: The labelled content as it was given.
            item: The decoded content; None if it is not known, so that positions cannot be checked.
        """
        task = self._task or self.model.task
        value = task.parse(label)
        return value if item is None else task.placed(value, item, self.model.modality.offsets(content))

    def run(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Predict decoded samples, in their order."""
        prepared = [sample.prepared for sample in samples]
        if self.model.modality.has_files and not self.model.architecture.embedded:
            predicted = self.model.predict_inputs(np.concatenate(prepared))
        else:
            predicted = self.model.predict(prepared)
        return [
            Outcome(
                label,
                round(float(confidence), DIGITS),
                {name: round(float(score), DIGITS) for name, score in zip(self.classes, scores, strict=True)},
            )
            for label, confidence, scores in zip(predicted.labels, predicted.confidence, predicted.scores, strict=True)
        ]

    def settle(self, finished: Sequence[Finished[Sample, Outcome, str]]) -> list[Answer]:
        """Record the predictions of these requests in one write, and return the answers. Raises `OSError`."""
        at, modality = self._clock(), self.model.modality
        answers, records = [], []
        for request in finished:
            predictions = []
            for sample, outcome in zip(request.items, request.results, strict=True):
                known: dict[str, Any] = {"id": prediction_id(at), **vars(outcome)}
                seen = self.model.task.placed_back(outcome.label, sample.offsets)
                predictions.append(known | {"label": self.model.task.answer(seen)})
                made = Prediction(
                    **known,
                    at=at,
                    model=self.version,
                    sample_id=modality.sample_id(sample.item),
                    client=request.context,
                    offsets=sample.offsets,
                    **{modality.column: sample.item},
                )
                records.append(to_line(made))
            answers.append(Answer(self.version, at, predictions))
        self.segments.append(records, at)
        return answers
