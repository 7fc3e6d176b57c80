"""What a modality is: how its content is decoded, described, embedded and shown."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.registry import Plugin, Settings

if TYPE_CHECKING:
    import torch


class Undecodable(ValueError):
    """The content is not what the modality expects; the message is the reason a person reads."""


class Encoder(Settings):
    """Turns decoded content into vectors. The same content always gives the same vector.

    `name` is unique and names the table of its embeddings; it changes when the vectors would.
    """

    name: str
    dimensions: int

    @abstractmethod
    def encode(self, items: Sequence[Any]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of `n` items, in their order."""


class WordPieces(Encoder):
    """An encoder that cuts texts into word pieces, which networks of their own can read, and that can be trained on."""

    @abstractmethod
    def pieces(self, items: Sequence[str]) -> list[list[int]]:
        """The word pieces of `n` texts, each list cut where the encoder cuts its texts."""

    @abstractmethod
    def word_vectors(self) -> "torch.Tensor":
        """`(vocabulary, d) float32`: the vector with which the encoder begins for each word piece."""

    @abstractmethod
    def transformer(self) -> Any:
        """A `float32` copy of its network, in training mode; its first output is `(batch, t, d)`, one vector per word piece."""


class Modality(Plugin):
    """One kind of content."""

    @abstractmethod
    def decode(self, content: str | bytes) -> Any:
        """The content ready for use (text: a `str`). Raises `Undecodable`."""

    @abstractmethod
    def length(self, item: Any) -> float:
        """How long it is, in the unit of the collection's length bounds (text: characters)."""

    @abstractmethod
    def describe(self, items: Sequence[Any]) -> pa.Table:
        """One row of plain numbers and words per item, which profiles and filters use."""

    @abstractmethod
    def encoder(self, name: str) -> Encoder:
        """The encoder of that name. Raises `ValueError` with the choices, or if its weights are not installed."""

    @abstractmethod
    def label_studio_object(self) -> str:
        """The Label Studio object tag that shows an item, reading it from `$content`; its name is `content`."""

    @abstractmethod
    def show(self, item: Any, limit: int) -> str:
        """A safe HTML fragment that shows the item, cut at `limit` units."""
