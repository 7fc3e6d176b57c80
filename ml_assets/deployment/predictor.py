"""A model that answers requests, and records each answer before it is given. Knows nothing of HTTP, nor of Dagster."""

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
"""Beside the model in a Bento: its project's `Limits`."""
DIGITS = 6
"""Decimal places of probabilities."""
MOST_WORK = 80_000_000
"""Pixels, samples of sounds (all channels) and characters that may have to be unpacked for one request."""
ORDINARY = 4000
"""Characters of a text that counts as one in a run."""
_warm: list[Encoder] = []
"""Encoders that this process has loaded."""


class Limits(Settings):
    """What one request may ask."""

    max_batch: int = DeploymentSettings.model_fields["max_batch"].default
    """Samples."""
    max_characters: int = DeploymentSettings.model_fields["max_characters"].default
    """Characters of one text."""
    requests_per_minute: int = DeploymentSettings.model_fields["requests_per_minute"].default
    """Of one key, to each worker."""
    task: dict[str, Any] | None = None
    """The project's label task. Its classes may be more than those that the model tells apart."""


class BadSample(MLAssetsError, ValueError):
    """A sample that cannot be predicted; the message is the reason."""


@dataclass(frozen=True)
class Outcome:
    """What the model says of one sample.

    Args:
        label: The value of the label task.
        confidence: How sure the model is of it.
        scores: How sure it is of each class.
    """

    label: str
    confidence: float
    scores: dict[str, float]


@dataclass(frozen=True, eq=False)
class Sample:
    """A decoded sample.

    Args:
        item: As it is recorded.
        prepared: What the model reads of it, as far as no network is needed for that.
        weight: For how many ordinary samples it counts.
        offsets: Where the item's characters stood in what the client sent.
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
    """One loaded model.

    Args:
        model: The model.
        limits: What one request may ask.
        segments: Where its predictions are recorded.
        clock: The current time in UTC.
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
        """The model in the folder with its encoder; not yet checked on its examples. Raises `ModelError`, `Tampered`.

        Args:
            folder: `model.json`, `model.safetensors` and, in a Bento, `limits.json`.
            segments: Where a project's predictions are recorded.
            clock: The current time in UTC.
            seal: What the folder must hold.
        """
        import torch

        torch.set_num_threads(1)  # one thread per worker: several on a busy machine slow each other down
        model = TrainedModel.load(folder, seal)
        # nothing in this process uses it yet, so it may be loaded in any thread
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
        """The sample ready for the model, from JSON or from a file (`bytes`); in any thread. Raises `BadSample`."""
        modality = self.model.modality.bounded(MOST_WORK)
        try:
            given = content if isinstance(content, bytes) else modality.from_json(content)
            item = modality.decode(given)
        except Undecodable as error:
            raise BadSample(str(error)) from error
        longest = self.limits.max_characters if modality.unit == "characters" else modality.bounds[1]
        if (length := modality.length(item)) > longest:
            raise BadSample(f"too long: {length:,.0f} {modality.unit}, more than {longest:,.0f}")
        # a text is cut for the model, but only after all of it was read
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
        """The value of a label from outside. Raises `InvalidLabel` with the choices.

        Args:
            label: What was given.
            content: What it speaks of, as it was given.
            item: What that was decoded to; None if it is not known here, so that places cannot be checked.
        """
        task = self._task or self.model.task
        value = task.parse(label)
        return value if item is None else task.placed(value, item, self.model.modality.offsets(content))

    def run(self, samples: Sequence[Sample]) -> list[Outcome]:
        """What the model says of decoded samples, in their order."""
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
        """Record the predictions of these requests in one write, and return their answers. Raises `OSError`."""
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
