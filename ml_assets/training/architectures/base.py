"""What an architecture is: hyper-parameters as typed fields, a search space, a network."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.errors import InvalidValue
from ml_assets.modalities import Encoder, WordPieces
from ml_assets.registry import Plugin
from ml_assets.tasks import ClassificationTask, Predicted, Task

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

PAD = -1
"""Stands behind the last word piece of a shorter text."""


@dataclass(frozen=True)
class Unreachable:
    """A span that a network can never tell, whatever it learns.

    Args:
        sample: The position of its sample.
        span: The span with `start`, `end` and `label`.
        unread: Whether it lies behind what the network reads of the text, and not merely between its words.
    """

    sample: int
    span: dict[str, Any]
    unread: bool


class Architecture(Plugin):
    """A neural network and how it is optimised (AdamW; warm-up, then cosine). Every field can be set in the YAML.

    By default its input is the encoder's frozen embedding, which is stored once per sample, and its output one logit per class,
    whose meaning is the task's.
    """

    modalities: ClassVar[tuple[str, ...]] = ()
    """The modalities whose items it reads; empty: all."""
    tasks: ClassVar[tuple[str, ...]] = ()
    """The label tasks that it answers; empty: all that one logit per class can answer."""
    embedded: ClassVar[bool] = True
    """Whether its inputs are the stored embeddings."""
    marks_spans: ClassVar[bool] = False
    """Whether its answers are spans, of which it may be unable to tell some: `unreachable` says which."""
    mixed_precision: ClassVar[bool] = False
    """Whether the network is fitted in bfloat16 where the processor is faster with it. Pays for large networks only."""
    predict_batch: ClassVar[int] = 4096
    """Samples that go through it together when it predicts."""

    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    """Share of each target that is spread over all classes."""
    epochs: int = Field(60, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(64, ge=1)
    """Samples per optimisation step."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[Any]:
        """What the network reads of `n` decoded items: `(n, …)`; embeddings are `(n, d) float32`."""
        return encoder.encode(items)

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` how long each input is, where short ones are cheaper among themselves; None where all cost the same."""
        return None

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[Any]:
        """`(n, …)` what it learns of the samples with these values and inputs."""
        return _classification(task).targets(values, classes)

    def augment(self, inputs: "torch.Tensor", targets: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """A batch as it is learnt from: varied by chance where that teaches what does not matter. By default as it is."""
        return inputs, targets

    def unreachable(self, values: Sequence[str], inputs: NDArray[Any]) -> list[Unreachable]:
        """The spans of the values of `n` samples that no logits can tell. By default there are none."""
        return []

    @abstractmethod
    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """A module from `(batch, …)` inputs to `float32` logits, `(batch, outputs)` of `outputs` classes.

        Logits of other shapes have the same shape for every batch. What of it comes from the encoder is a copy.
        """

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """The mean loss of a batch."""
        return _classification(task).loss(logits, targets, self.label_smoothing)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """`(batch,)` how right each sample is, 0 to 1: what the task's `trial_metric` names."""
        return _classification(task).score(logits, targets)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """What the logits of `n` inputs say."""
        return _classification(task).predicted(logits, classes)

    @abstractmethod
    def suggest(self, trial: "optuna.Trial") -> Self:
        """A copy with the hyper-parameters that this trial tries."""

    def parameters(self, network: "nn.Module") -> list[dict[str, Any]]:
        """Groups of parameters with their own options of AdamW; all alike by default."""
        return [{"params": list(network.parameters())}]


def _classification(task: Task) -> ClassificationTask:
    """The task as one that one logit per class can answer."""
    if not isinstance(task, ClassificationTask):
        raise NotImplementedError(f"the task {task.type} needs a network of its own")
    return task


class TextArchitecture(Architecture):
    """Reads a text piece by piece, as the encoder's tokenizer cuts it."""

    modalities: ClassVar[tuple[str, ...]] = ("text",)
    embedded: ClassVar[bool] = False
    mixed_precision: ClassVar[bool] = True
    predict_batch: ClassVar[int] = 64

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.int32]:
        """`(n, t) int32` word pieces of the texts, `PAD` behind the end of each."""
        found = reader(encoder).pieces(items)
        ids = np.full((len(found), max(map(len, found), default=1)), PAD, np.int32)
        for row, pieces in zip(ids, found, strict=True):
            row[: len(pieces)] = pieces
        return ids

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` how many word pieces each text has."""
        return np.asarray((inputs != PAD).sum(1))


def beside_words(sample: int, value: str, starts: NDArray[Any], ends: NDArray[Any]) -> list[Unreachable]:
    """The spans of a value that do not begin where a word begins, or do not end where one ends."""
    begins, stops, read = set(starts.tolist()), set(ends.tolist()), int(ends.max(initial=0))
    return [
        Unreachable(sample, span, span["end"] > read)
        for span in json.loads(value)
        if span["start"] not in begins or span["end"] not in stops
    ]


def reader(encoder: Encoder) -> WordPieces:
    """The encoder as one that cuts texts. Raises `ValueError` if it does not."""
    if not isinstance(encoder, WordPieces):
        raise InvalidValue(f"the encoder {encoder.name!r} does not cut texts into word pieces, which this architecture reads")
    return encoder
