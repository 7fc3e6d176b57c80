"""What a label task is: what annotators see, what they may answer, how answers are joined and scored.

A *value* is one answer, as text in the column `value` of the tables. What the text means is the task's own business: a class,
or JSON in a canonical form, so that equal answers are equal texts.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from ml_assets.errors import MLAssetsError
from ml_assets.registry import Plugin
from ml_assets.tasks.classes import to_editor

if TYPE_CHECKING:
    import torch

    from ml_assets.texts.offsets import Offsets


class InvalidLabel(MLAssetsError, ValueError):
    """The answer is not one that the task allows; the message says which are."""


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


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Task(Plugin):
    """One kind of question to annotators, and to models."""

    metric_names: ClassVar[tuple[str, ...]]
    """What `metrics` reports."""
    modalities: ClassVar[tuple[str, ...]] = ()
    """The modalities that it can be asked of; empty: all."""
    one_class: ClassVar[bool] = False
    """Whether a value is the name of one class."""
    reads_items: ClassVar[bool] = False
    """Whether its metrics need the samples themselves."""
    trial_metric: ClassVar[str] = "accuracy"
    """What `score` measures: trials are compared by it while they run."""

    classes: tuple[str, ...]

    @classmethod
    def one_logit_per_class(cls) -> bool:
        """Whether networks with one logit per class can answer it: whether it says what they learn."""
        return cls.targets is not Task.targets

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
    def check(self, answer: Any) -> str:
        """The value of an answer from outside (a class name, a list of tags…). Raises `InvalidLabel` with the choices."""

    def in_unit(self, answer: Any, unit: str, size: tuple[int, int] | None) -> Any:
        """An answer from outside whose places and sizes are in that unit, as `check` reads it. Raises `InvalidLabel`.

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
        """The value as applications get it, JSON-able; `check` of it is the value."""

    @abstractmethod
    def read(self, result: Sequence[dict[str, Any]]) -> str:
        """The value of a Label Studio annotation's `result`. Raises `InvalidLabel`."""

    @abstractmethod
    def write(self, value: str) -> list[dict[str, Any]]:
        """The Label Studio `result` that shows this value (pre-annotations and programs' annotations)."""

    def examples(self) -> Sequence[str]:
        """A few values, as different as they come, by which it is tested."""
        return self.classes if self.one_class else ()

    @abstractmethod
    def classes_in(self, value: str) -> tuple[str, ...]:
        """The classes that occur in the value, each once, in the order of the classes."""

    def words(self, value: str) -> str:
        """The value in a few words, for lists that people read."""
        return ", ".join(self.classes_in(value)) or "nothing"

    def alike(self, first: str, second: str) -> float:
        """How alike two values are, from 0 to 1; 1 if they say the same. Symmetric."""
        return float(first == second)

    def answer_type(self) -> Any:
        """The type of `answer`, from which the endpoint's documentation is made."""
        return Literal[self.classes]

    @abstractmethod
    def mapped(self, value: str, names: Mapping[str, str]) -> str | None:
        """The value with its classes under new names; what has none is left out. None if that leaves no answer."""

    @abstractmethod
    def consensus(self, values: Sequence[str]) -> Consensus:
        """The joint answer of at least one value."""

    @abstractmethod
    def headline(self) -> str:
        """Name of the metric by which models are compared."""

    @abstractmethod
    def metrics(
        self, targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str], seed: int, items: Sequence[Any] = ()
    ) -> dict[str, Metric]:
        """Metrics by their fixed names, each with a bootstrap interval over samples. `items` where it `reads_items`."""

    @abstractmethod
    def difference(
        self,
        targets: Sequence[str],
        first: Sequence[str],
        second: Sequence[str],
        classes: Sequence[str],
        seed: int,
        items: Sequence[Any] = (),
    ) -> Metric:
        """Headline metric of `first` minus that of `second` on the same samples, with its paired-bootstrap interval."""

    def draw(self, shown: str, item: Any, value: str, limit: int) -> str:
        """A safe HTML fragment of the item with its value drawn in, where it can be; `shown` is what the modality shows."""
        return shown

    # ---- for networks with one logit per class; others bring their own (`ml_assets.training.architectures`) ----

    def targets(self, values: Sequence[str], classes: Sequence[str]) -> NDArray[Any]:
        """What a network learns of `n` values: `(n, …)`."""
        raise NotImplementedError(f"the task {self.type} needs a network of its own")

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", smoothing: float) -> "torch.Tensor":
        """The mean loss of `(batch, k)` logits."""
        raise NotImplementedError(f"the task {self.type} needs a network of its own")

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """`(batch,)` how right each sample is, 0 to 1: what `trial_metric` names."""
        raise NotImplementedError(f"the task {self.type} needs a network of its own")

    def predicted(self, logits: NDArray[np.float32], classes: Sequence[str]) -> Predicted:
        """What `(n, k)` logits say."""
        raise NotImplementedError(f"the task {self.type} needs a network of its own")


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap draws (Efron & Tibshirani 1993, §13.3)."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def options(tag: str, classes: Sequence[str]) -> str:
    """Label Studio's element of each class, a line each, with a hotkey for the first nine."""
    return "\n".join(
        f"    <{tag} value={quoteattr(to_editor(name))}{f' hotkey={quoteattr(str(i))}' if i < 10 else ''}/>"
        for i, name in enumerate(classes, 1)
    )


def unknown_class(answer: Any, classes: Sequence[str]) -> InvalidLabel:
    """The error for an answer that is no class."""
    shown = repr(answer) if len(repr(answer)) < 80 else repr(answer)[:77] + "…"
    return InvalidLabel(f"unknown class {shown}: choose one of {', '.join(classes)}")
