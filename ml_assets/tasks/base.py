"""What a label task is: what annotators see, what they may answer, how answers are joined and scored.

A *value* is one answer, as text in the column `value` of the tables. What the text means is the task's own business.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ml_assets.registry import Plugin


class InvalidLabel(ValueError):
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
class Metric:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Task(Plugin):
    """One kind of question to annotators, and to models."""

    metric_names: ClassVar[tuple[str, ...]]
    """What `metrics` reports."""

    classes: tuple[str, ...]

    @abstractmethod
    def label_config(self, content_tag: str, question: str) -> str:
        """The Label Studio configuration (XML) around the modality's object tag."""

    @abstractmethod
    def check(self, answer: Any) -> str:
        """The value of an answer from outside (a class name, a list of tags…). Raises `InvalidLabel` with the choices."""

    @abstractmethod
    def read(self, result: Sequence[dict[str, Any]]) -> str:
        """The value of a Label Studio annotation's `result`. Raises `InvalidLabel`."""

    @abstractmethod
    def write(self, value: str) -> list[dict[str, Any]]:
        """The Label Studio `result` that shows this value (pre-annotations and programs' annotations)."""

    @abstractmethod
    def consensus(self, values: Sequence[str]) -> Consensus:
        """The joint answer of at least one value."""

    @abstractmethod
    def headline(self) -> str:
        """Name of the metric by which models are compared."""

    @abstractmethod
    def metrics(self, targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str], seed: int) -> dict[str, Metric]:
        """Metrics by their fixed names, each with a bootstrap interval over samples."""

    @abstractmethod
    def difference(
        self, targets: Sequence[str], first: Sequence[str], second: Sequence[str], classes: Sequence[str], seed: int
    ) -> Metric:
        """Headline metric of `first` minus that of `second` on the same samples, with its paired-bootstrap interval."""


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap draws (Efron & Tibshirani 1993, §13.3)."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
