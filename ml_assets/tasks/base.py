"""Base classes of label tasks: what annotators see and may answer, and how answers are joined and scored.

A *value* is one answer, as text in the column `value` of the tables. Its format is up to the task: a class name, or JSON in a
canonical form, so that equal answers are equal texts.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ml_assets.errors import InvalidValue
from ml_assets.registry import Plugin
from ml_assets.tasks.answers.classes import InvalidLabel, class_of, from_yaml, known_classes, unknown_class
from ml_assets.tasks.metrics.intervals import DRAWS, Draws, Figures, Metric, as_metrics, bootstrap, paired
from ml_assets.tasks.metrics.shares import shares

if TYPE_CHECKING:
    import torch

    from ml_assets.texts.offsets import Offsets


@dataclass(frozen=True)
class Consensus:
    """The joint answer of all annotations of one sample.

    Args:
        value: The joint answer, None if the annotations conflict.
        agreement: Share of annotations that agree with the most frequent answer, 0 to 1, or another measure of the task.
    """

    value: str | None
    agreement: float


@dataclass(frozen=True)
class Predicted:
    """Predictions for `n` samples over `k` classes.

    Args:
        labels: `n` values.
        confidence: `(n,) float32`, how sure the model is of each value as a whole, 0 to 1.
        scores: `(n, k) float32`, how sure it is that each class occurs, in the order of the model's classes.
    """

    labels: list[str]
    confidence: NDArray[np.float32]
    scores: NDArray[np.float32]


class Task(Plugin):
    """Base class of label tasks: one kind of question to annotators and models."""

    metric_names: ClassVar[tuple[str, ...]]
    """Names of the metrics that `metrics` reports."""
    primary_metric: ClassVar[str]
    """Name of the metric by which models are compared."""
    modalities: ClassVar[tuple[str, ...]] = ()
    """Names of the modalities that the task supports; empty: all."""
    reads_items: ClassVar[bool] = False
    """Whether the task's metrics need the samples themselves."""
    draws: ClassVar[int] = DRAWS
    """Number of bootstrap draws for the intervals of the metrics."""
    trial_metric: ClassVar[str] = "accuracy"
    """Name of the metric that is measured during training, by which trials are compared meanwhile."""

    classes: tuple[str, ...] = Field(min_length=2)
    """The classes, in the order in which annotators see them."""

    @field_validator("classes", mode="before")
    @classmethod
    def _as_text(cls, classes: Any) -> Any:
        return from_yaml(classes)

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return known_classes(classes)

    @classmethod
    def names_places(cls) -> bool:
        """Whether answers of this task refer to positions in the content, such as spans of a text."""
        return cls.placed is not Task.placed

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty answer is valid and means that there is nothing to find."""
        return False

    @abstractmethod
    def label_config(self, content_tag: str, question: str) -> str:
        """The Label Studio configuration (XML) that contains the modality's object tag and asks the question."""

    @abstractmethod
    def from_label_studio(self, result: Sequence[dict[str, Any]]) -> str:
        """Convert the `result` of a Label Studio annotation to a value. Raises `InvalidLabel`."""

    @abstractmethod
    def to_label_studio(self, value: str) -> list[dict[str, Any]]:
        """Convert a value to a Label Studio `result`, for predictions and for annotations by programs."""

    @abstractmethod
    def parse(self, answer: Any) -> str:
        """Convert an answer from outside (a class name, a list of tags…) to a value. Raises `InvalidLabel` with the choices."""

    def in_unit(self, answer: Any, unit: str, size: tuple[int, int] | None) -> Any:
        """An answer with positions and sizes in another unit, prepared for `parse`. Raises `InvalidLabel`.

        Args:
            answer: The answer as it was given.
            unit: `shares`, `percent` or `pixels`.
            size: Width and height of the picture in pixels; None for other content.
        """
        raise InvalidLabel(f"a label in {unit} where labels have no places in pictures: leave `label_unit` out")

    def placed(self, value: str, item: Any, offsets: "Offsets") -> str:
        """The value with its positions moved from the content as given to the decoded item.

        Raises `InvalidLabel` if a position lies outside of the item.
        """
        return value

    def placed_back(self, value: str, offsets: "Offsets") -> str:
        """The value with its positions moved from the decoded item to the content as given."""
        return value

    @abstractmethod
    def answer(self, value: str) -> Any:
        """The value as JSON-able data for applications; `parse` turns it back into the value."""

    @abstractmethod
    def answer_type(self) -> Any:
        """The Python type of the result of `answer`, for the endpoint's documentation."""

    def examples(self) -> Sequence[str]:
        """A few different values for tests."""
        return ()

    @abstractmethod
    def classes_in(self, value: str) -> tuple[str, ...]:
        """The classes that occur in the value, each once, in the order of `classes`."""

    @abstractmethod
    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The value with its classes renamed; classes without a new name are removed. None if no answer is left."""

    def summary(self, value: str) -> str:
        """The value in a few words, for lists that people read."""
        return ", ".join(self.classes_in(value)) or "nothing"

    def overlay(self, shown: str, item: Any, value: str, limit: int) -> str:
        """A safe HTML fragment of the item with the value drawn in, if possible; `shown` is the modality's HTML of the item."""
        return shown

    def similarity(self, first: str, second: str) -> float:
        """Similarity of two values, 0 to 1; symmetric, and 1 if they are equivalent."""
        return float(first == second)

    @abstractmethod
    def consensus(self, values: Sequence[str]) -> Consensus:
        """The consensus of at least one value."""

    @abstractmethod
    def tally(self, target: str, predicted: str, classes: Sequence[str], item: Any) -> Any:
        """The contribution of one sample to each metric (a `Tally`); `item` is None unless the task sets `reads_items`."""

    def figures(self, tallies: Sequence[Any], classes: Sequence[str]) -> Figures:
        """A function that computes the metrics by name from the samples' tallies, given how often each sample counts."""
        return shares(tallies, classes)

    def metrics(
        self, targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str], seed: int = 0, items: Sequence[Any] = ()
    ) -> dict[str, Metric]:
        """Metrics by name, each with a bootstrap interval over samples; `items` are needed if the task sets `reads_items`."""
        return as_metrics(self._drawn(targets, [predicted], classes, seed, items)[0], len(targets))

    def difference(
        self,
        targets: Sequence[str],
        first: Sequence[str],
        second: Sequence[str],
        classes: Sequence[str],
        seed: int = 0,
        items: Sequence[Any] = (),
    ) -> Metric:
        """Primary metric of `first` minus that of `second` on the same samples, with a paired bootstrap interval."""
        a, b = self._drawn(targets, [first, second], classes, seed, items)
        return paired(a[self.primary_metric], b[self.primary_metric])

    def _drawn(
        self, targets: Sequence[str], models: Sequence[Sequence[str]], classes: Sequence[str], seed: int, items: Sequence[Any]
    ) -> list[Draws]:
        """Bootstrap draws of the metrics of each model on the same samples. Raises `ValueError` if needed items are missing."""
        if self.reads_items and len(items) != len(targets):
            what = f"the {' or '.join(self.modalities) or 'content'} of each sample"
            raise InvalidValue(f"the metrics of {self.type} need {what}: there are {len(items)} for {len(targets)} samples")
        read = items if self.reads_items else [None] * len(targets)
        tallies = [
            [self.tally(t, p, classes, item) for t, p, item in zip(targets, predicted, read, strict=True)]
            for predicted in models
        ]
        return bootstrap([self.figures(each, classes) for each in tallies], len(targets), seed, self.draws)


class ClassificationTask(Task):
    """Base class of tasks that networks with one logit per class can answer.

    For other tasks there are networks that list them in `tasks`.
    """

    @abstractmethod
    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[Any]:
        """`(n, …)` training targets of `n` values."""

    @abstractmethod
    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """The mean loss of `(batch, k)` logits, with label smoothing."""

    @abstractmethod
    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """`(batch,)` score of each sample's logits, 0 to 1, in terms of `trial_metric`."""

    @abstractmethod
    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """The predictions from `(n, k)` logits."""


class SingleLabelTask(ClassificationTask):
    """Base class of tasks whose value is the name of one class."""

    def parse(self, answer: Any) -> str:
        """The class that the answer means. Raises `InvalidLabel`."""
        found = class_of(answer, self.classes)
        if found is None:
            raise unknown_class(answer, self.classes)
        return found

    def answer(self, value: str) -> str:
        """The value, which is the class itself."""
        return value

    def answer_type(self) -> Any:
        """A `Literal` type of the classes."""
        return Literal[self.classes]

    def examples(self) -> Sequence[str]:
        """All classes as example values."""
        return self.classes

    def classes_in(self, value: str) -> tuple[str, ...]:
        """A tuple with the one class."""
        return (value,)

    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The new name of the class; None if it has none."""
        return names.get(value)

    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
        """`(n,)` indices of the classes."""
        index = {name: i for i, name in enumerate(classes)}
        return np.array([index[value] for value in values], np.int64)

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """Mean cross-entropy with label smoothing."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, label_smoothing=smoothing)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """`(batch,)` accuracy of each sample: 1 if the class with the highest logit is the target, else 0."""
        return (logits.argmax(1) == targets).float()

    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """The most probable class by softmax; its probability is the confidence."""
        import torch

        scores = torch.from_numpy(logits).softmax(1).numpy()
        best = scores.argmax(1)
        return Predicted([classes[i] for i in best], scores[np.arange(len(best)), best], scores)
