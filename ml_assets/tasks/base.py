"""What a label task is: what annotators see, what they may answer, how answers are joined and scored.

A *value* is one answer, as text in the column `value` of the tables. What the text means is the task's own business: a class,
or JSON in a canonical form, so that equal answers are equal texts.
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
    """What the annotations of one sample say together.

    Args:
        value: The joint answer, None when they conflict.
        agreement: Share of annotations that agree with the commonest answer, 0 to 1.
    """

    value: str | None
    agreement: float


@dataclass(frozen=True)
class Predicted:
    """Predictions of `n` samples over `k` classes.

    Args:
        labels: `n` values.
        confidence: `(n,) float32`, how sure the model is of each value as a whole, 0 to 1.
        scores: `(n, k) float32`, how sure it is that each class occurs, in the order of the model's classes.
    """

    labels: list[str]
    confidence: NDArray[np.float32]
    scores: NDArray[np.float32]


class Task(Plugin):
    """One kind of question to annotators, and to models."""

    metric_names: ClassVar[tuple[str, ...]]
    """What `metrics` reports."""
    primary_metric: ClassVar[str]
    """The metric by which models are compared."""
    modalities: ClassVar[tuple[str, ...]] = ()
    """The modalities that it can be asked of; empty: all."""
    reads_items: ClassVar[bool] = False
    """Whether its metrics need the samples themselves."""
    draws: ClassVar[int] = DRAWS
    """Bootstrap draws of which the intervals of its metrics are made."""
    trial_metric: ClassVar[str] = "accuracy"
    """What networks measure while they are trained: trials are compared by it meanwhile."""

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
        """Whether its answers refer to positions in the content, such as spans of a text."""
        return cls.placed is not Task.placed

    @property
    def may_be_empty(self) -> bool:
        """Whether an empty answer says something: that there is nothing to find."""
        return False

    @abstractmethod
    def label_config(self, content_tag: str, question: str) -> str:
        """The Label Studio configuration (XML) around the modality's object tag."""

    @abstractmethod
    def from_label_studio(self, result: Sequence[dict[str, Any]]) -> str:
        """The value of a Label Studio annotation's `result`. Raises `InvalidLabel`."""

    @abstractmethod
    def to_label_studio(self, value: str) -> list[dict[str, Any]]:
        """The Label Studio `result` that shows this value (pre-annotations and programs' annotations)."""

    @abstractmethod
    def parse(self, answer: Any) -> str:
        """The value of an answer from outside (a class name, a list of tags…). Raises `InvalidLabel` with the choices."""

    def in_unit(self, answer: Any, unit: str, size: tuple[int, int] | None) -> Any:
        """An answer from outside whose places and sizes are in that unit, as `parse` reads it. Raises `InvalidLabel`.

        Args:
            answer: As it was given.
            unit: `shares`, `percent` or `pixels`.
            size: Width and height in pixels of the picture that it speaks of; None if it is none.
        """
        raise InvalidLabel(f"a label in {unit} where labels have no places in pictures: leave `label_unit` out")

    def placed(self, value: str, item: Any, offsets: "Offsets") -> str:
        """The value of an answer about content as it was given, with the positions that it names those of the item.

        Raises `InvalidLabel` if it names a place that the item does not have.
        """
        return value

    def placed_back(self, value: str, offsets: "Offsets") -> str:
        """The value with the positions that it names those of the content as it was given."""
        return value

    @abstractmethod
    def answer(self, value: str) -> Any:
        """The value as applications get it, JSON-able; `parse` of it is the value."""

    @abstractmethod
    def answer_type(self) -> Any:
        """The type of `answer`, from which the endpoint's documentation is made."""

    def examples(self) -> Sequence[str]:
        """A few values, as different as they come, by which it is tested."""
        return ()

    @abstractmethod
    def classes_in(self, value: str) -> tuple[str, ...]:
        """The classes that occur in the value, each once, in the order of the classes."""

    @abstractmethod
    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The value with its classes under new names; what has none is left out. None if that leaves no answer."""

    def summary(self, value: str) -> str:
        """The value in a few words, for lists that people read."""
        return ", ".join(self.classes_in(value)) or "nothing"

    def overlay(self, shown: str, item: Any, value: str, limit: int) -> str:
        """A safe HTML fragment of the item with its value drawn in, where it can be; `shown` is what the modality shows."""
        return shown

    def similarity(self, first: str, second: str) -> float:
        """How alike two values are, from 0 to 1; 1 if they say the same. Symmetric."""
        return float(first == second)

    @abstractmethod
    def consensus(self, values: Sequence[str]) -> Consensus:
        """The joint answer of at least one value."""

    @abstractmethod
    def tally(self, target: str, predicted: str, classes: Sequence[str], item: Any) -> Any:
        """What one sample adds to each metric (`Tally`). The item is None unless it `reads_items`."""

    def figures(self, tallies: Sequence[Any], classes: Sequence[str]) -> Figures:
        """Metrics by their fixed names, which follow from the tallies of samples and how often each of them counts."""
        return shares(tallies, classes)

    def metrics(
        self, targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str], seed: int = 0, items: Sequence[Any] = ()
    ) -> dict[str, Metric]:
        """Metrics by their fixed names, each with a bootstrap interval over samples. `items` where it `reads_items`."""
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
        """Primary metric of `first` minus that of `second` on the same samples, with its paired-bootstrap interval."""
        a, b = self._drawn(targets, [first, second], classes, seed, items)
        return paired(a[self.primary_metric], b[self.primary_metric])

    def _drawn(
        self, targets: Sequence[str], models: Sequence[Sequence[str]], classes: Sequence[str], seed: int, items: Sequence[Any]
    ) -> list[Draws]:
        """The metrics of each model's predictions of the same samples. Raises `ValueError` without the items that it needs."""
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
    """A task that networks with one logit per class can answer. For others there are networks that name them in `tasks`."""

    @abstractmethod
    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[Any]:
        """What a network learns of `n` values: `(n, …)`."""

    @abstractmethod
    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """The mean loss of `(batch, k)` logits."""

    @abstractmethod
    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """`(batch,)` how right each sample is, 0 to 1: what `trial_metric` names."""

    @abstractmethod
    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """What `(n, k)` logits say."""


class SingleLabelTask(ClassificationTask):
    """A task whose value is the name of one class."""

    def parse(self, answer: Any) -> str:
        """The class that the answer means."""
        found = class_of(answer, self.classes)
        if found is None:
            raise unknown_class(answer, self.classes)
        return found

    def answer(self, value: str) -> str:
        """The class."""
        return value

    def answer_type(self) -> Any:
        """One of the classes."""
        return Literal[self.classes]

    def examples(self) -> Sequence[str]:
        """All classes."""
        return self.classes

    def classes_in(self, value: str) -> tuple[str, ...]:
        """The one class."""
        return (value,)

    def relabel(self, value: str, names: Mapping[str, str]) -> str | None:
        """The class under its new name."""
        return names.get(value)

    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
        """`(n,)` positions of the classes."""
        index = {name: i for i, name in enumerate(classes)}
        return np.array([index[value] for value in values], np.int64)

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """Cross-entropy, with label smoothing."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, label_smoothing=smoothing)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """Whether the class that the logits say is the right one."""
        return (logits.argmax(1) == targets).float()

    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """The likeliest class by softmax; its probability is the confidence."""
        import torch

        scores = torch.from_numpy(logits).softmax(1).numpy()
        best = scores.argmax(1)
        return Predicted([classes[i] for i in best], scores[np.arange(len(best)), best], scores)
