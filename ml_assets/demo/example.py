"""What an example is: a project's data, what its demo annotators answer, and the traffic that comes later."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ml_assets.errors import MLAssetsError


class NoData(MLAssetsError, RuntimeError):
    """The data cannot be fetched; the message says what to do."""


@dataclass(frozen=True)
class Request:
    """What an application asks about: a text, a file's content or an object of parts; what people said of it, if known."""

    content: str | bytes | Mapping[str, Any]
    label: Any


@dataclass(frozen=True)
class Wave:
    """Traffic that arrives together.

    Args:
        about: What it is, for the screen.
        requests: One prediction each; those with a class get feedback.
        strange: Whether monitoring must notice it, or must keep quiet.
    """

    about: str
    requests: Sequence[Request]
    strange: bool


class Example(ABC):
    """Real data on which the whole loop can be shown."""

    project: ClassVar[str]
    """The project, declared in `ml_assets/defs`."""
    about: ClassVar[str]
    """What the data are, in a few words."""
    annotators: ClassVar[str]
    """What the demo annotators know, to follow "demo annotators"."""
    metric: ClassVar[str]
    """The figure of the evaluation that says how good the model is."""
    test: ClassVar[str]
    """What that figure is measured on."""

    @abstractmethod
    def fetch(self) -> dict[str, int]:
        """Bring the data, once; how many texts each file holds. Raises `NoData` if they cannot be had."""

    @abstractmethod
    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """What each demo annotator (e-mail address) answers, by sample id."""

    @abstractmethod
    def waves(self, seed: int) -> Sequence[Wave]:
        """The traffic, in the order in which it arrives."""
