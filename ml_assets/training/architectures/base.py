"""Base classes of architectures: hyper-parameters, search space, inputs, network, loss and predictions."""

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
"""Padding value behind the last word piece of a shorter text."""


@dataclass(frozen=True)
class Unreachable:
    """A labelled span that a network can never predict, because of how it reads texts.

    Args:
        sample: Index of the sample.
        span: The span with `start`, `end` and `label`.
        unread: True if the span lies beyond the part of the text that is read, False if it does not match word boundaries.
    """

    sample: int
    span: dict[str, Any]
    unread: bool


class Architecture(Plugin):
    """Base class of neural networks and their optimization (AdamW; warm-up, then cosine). Every field can be set in the YAML.

    By default its input is the encoder's frozen embedding, which is stored once per sample, and its output one logit per class,
    whose meaning is the task's.
    """

    modalities: ClassVar[tuple[str, ...]] = ()
    """Names of the modalities whose items it reads; empty: all."""
    tasks: ClassVar[tuple[str, ...]] = ()
    """Names of the label tasks that it supports; empty: all that one logit per class can answer."""
    embedded: ClassVar[bool] = True
    """Whether its inputs are the stored embeddings."""
    marks_spans: ClassVar[bool] = False
    """Whether the architecture predicts spans, of which `unreachable` lists those that it can never predict."""
    mixed_precision: ClassVar[bool] = False
    """Whether the network is trained in bfloat16 where the hardware is faster with it; worthwhile for large networks only."""
    predict_batch: ClassVar[int] = 4096
    """Number of samples per batch in prediction."""

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
        """The network's inputs from `n` decoded items, `(n, …)`; by default the embeddings, `(n, d) float32`."""
        return encoder.encode(items)

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` length of each input, if batches of short inputs cost less; None if all inputs cost the same."""
        return None

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[Any]:
        """`(n, …)` training targets of the samples with these values and inputs."""
        return _classification(task).targets(values, classes)

    def augment(self, inputs: "torch.Tensor", targets: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Apply random augmentation to a training batch; by default none."""
        return inputs, targets

    def unreachable(self, values: Sequence[str], inputs: NDArray[Any]) -> list[Unreachable]:
        """The spans in the values of `n` samples that the network can never predict; by default none."""
        return []

    @abstractmethod
    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """The torch module, from `(batch, …)` inputs to `float32` logits, `(batch, outputs)` for `outputs` classes.

        Logits of other shapes have the same shape for every batch. What of it comes from the encoder is a copy.
        """

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """The mean loss of a batch of logits."""
        return _classification(task).loss(logits, targets, self.label_smoothing)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """`(batch,)` score of each sample's logits, 0 to 1, in terms of the task's `trial_metric`."""
        return _classification(task).score(logits, targets)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """The predictions from the logits of `n` inputs."""
        return _classification(task).predicted(logits, classes)

    @abstractmethod
    def suggest(self, trial: "optuna.Trial") -> Self:
        """A copy with hyper-parameters sampled for this Optuna trial."""

    def parameters(self, network: "nn.Module") -> list[dict[str, Any]]:
        """Groups of parameters, each with its options for AdamW; by default one group."""
        return [{"params": list(network.parameters())}]


def _classification(task: Task) -> ClassificationTask:
    """The task, checked to be a `ClassificationTask`. Raises `NotImplementedError` otherwise."""
    if not isinstance(task, ClassificationTask):
        raise NotImplementedError(f"the task {task.type} needs a network of its own")
    return task


class TextArchitecture(Architecture):
    """Base class of architectures that read texts as word pieces of the encoder's tokenizer."""

    modalities: ClassVar[tuple[str, ...]] = ("text",)
    embedded: ClassVar[bool] = False
    mixed_precision: ClassVar[bool] = True
    predict_batch: ClassVar[int] = 64

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.int32]:
        """`(n, t) int32` word pieces of the texts, padded with `PAD`."""
        found = reader(encoder).pieces(items)
        ids = np.full((len(found), max(map(len, found), default=1)), PAD, np.int32)
        for row, pieces in zip(ids, found, strict=True):
            row[: len(pieces)] = pieces
        return ids

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` number of word pieces of each text."""
        return np.asarray((inputs != PAD).sum(1))


def beside_words(sample: int, value: str, starts: NDArray[Any], ends: NDArray[Any]) -> list[Unreachable]:
    """The spans of a value that do not start at the start of a word or do not end at the end of one."""
    begins, stops, read = set(starts.tolist()), set(ends.tolist()), int(ends.max(initial=0))
    return [
        Unreachable(sample, span, span["end"] > read)
        for span in json.loads(value)
        if span["start"] not in begins or span["end"] not in stops
    ]


def reader(encoder: Encoder) -> WordPieces:
    """The encoder, checked to be one with word pieces. Raises `ValueError` otherwise."""
    if not isinstance(encoder, WordPieces):
        raise InvalidValue(f"the encoder {encoder.name!r} does not cut texts into word pieces, which this architecture reads")
    return encoder
