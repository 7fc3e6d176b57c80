"""The base class of the examples: a project's data, the answers of its demo annotators, and later traffic."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ml_assets.errors import MLAssetsError


class NoData(MLAssetsError, RuntimeError):
    """The data cannot be fetched; the message says what to do."""


@dataclass(frozen=True)
class Request:
    """One sample that an application sends (a text, a file's bytes or an object of parts), with its label if known."""

    content: str | bytes | Mapping[str, Any]
    label: Any


@dataclass(frozen=True)
class Wave:
    """A series of requests to the endpoint that arrive together.

    Args:
        about: What it is, for the terminal.
        requests: The requests, one prediction each; those with a label get feedback.
        strange: Whether monitoring must report drift; otherwise it must not.
    """

    about: str
    requests: Sequence[Request]
    strange: bool


class Example(ABC):
    """A project with real data on which the demo runs the whole loop."""

    project: ClassVar[str]
    """The project's name, as declared in `ml_assets/defs`."""
    about: ClassVar[str]
    """What the data are, in a few words."""
    annotators: ClassVar[str]
    """What the demo annotators know, as a clause after "demo annotators"."""
    metric: ClassVar[str]
    """The name of the evaluation's main metric."""
    test: ClassVar[str]
    """What the metric is measured on."""

    @abstractmethod
    def fetch(self) -> dict[str, int]:
        """Fetch the data if they are missing; return the number of samples in each file. Raises `NoData`."""

    @abstractmethod
    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The answers of each demo annotator (by e-mail address), by sample id."""

    @abstractmethod
    def waves(self, seed: int) -> Sequence[Wave]:
        """The waves of traffic, in the order in which they arrive, drawn with the random seed."""
