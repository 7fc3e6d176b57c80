"""Base classes of encoders, which turn items into vectors; some also provide word pieces or a trainable network."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.registry import Settings

if TYPE_CHECKING:
    import torch


class Encoder(Settings):
    """Base class of encoders. The same content always gives the same vector.

    `name` is unique and names the table of its embeddings; it changes when the vectors would.
    """

    name: str
    dimensions: int

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages that contain its weights, if the endpoint does not need these anyway."""
        return ()

    @property
    def lasting(self) -> bool:
        """Whether its name means the same vectors in every project; not so for a folder, whose files may change."""
        return not Path(self.name).exists()

    @abstractmethod
    def encode(self, items: Sequence[Any]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of `n` items, in their order."""

    def prepared(self, item: Any) -> Any:
        """The item after all preparation that needs no network, which `encode` accepts in its place; by default the item."""
        return item

    def unread(self, items: Sequence[Any]) -> NDArray[np.float64]:
        """`(n,)` share of each item that the encoder does not read, such as the end of a long text."""
        return np.zeros(len(items))

    def unknown(self, items: Sequence[Any]) -> NDArray[np.float64] | None:
        """`(n,)` share of each item's letters that the encoder does not know, if it encodes language; by default None."""
        return None

    def of_stored(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` inputs of models from stored vectors; by default the vectors themselves."""
        return vectors

    def whole(self) -> "Encoder":
        """The encoder whose vectors are stored, which reads all of an item even if models see only parts."""
        return self


class WordPieces(Encoder):
    """Base class of trainable text encoders with a tokenizer, whose word pieces other networks can read."""

    @abstractmethod
    def pieces(self, items: Sequence[str]) -> list[list[int]]:
        """Ids of the word pieces of `n` texts, each truncated as the encoder truncates texts."""

    @abstractmethod
    def word_vectors(self) -> "torch.Tensor":
        """`(vocabulary, d) float32` input embeddings of the word pieces."""

    @abstractmethod
    def offsets(self, items: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Start and end of each word piece of `pieces` in its text.

        Characters are code points; the end is exclusive. Special tokens have `(0, 0)`.
        """

    @abstractmethod
    def transformer(self) -> Any:
        """A trainable `float32` copy of its network; its first output is `(batch, t, d)`, one vector per word piece."""


class Backbone(Encoder):
    """Base class of encoders of pictures or sounds whose network can be trained."""

    @abstractmethod
    def arrays(self, items: Sequence[bytes]) -> NDArray[Any]:
        """`(n, …)` inputs of its network for `n` items."""

    @abstractmethod
    def backbone(self) -> "torch.nn.Module":
        """A trainable `float32` copy of its network, from `(batch, …)` arrays to `(batch, dimensions)`."""


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """The `(n, d)` vectors scaled to unit length; zero vectors stay zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
