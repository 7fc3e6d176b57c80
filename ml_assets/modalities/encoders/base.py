"""What an encoder is: it turns items into vectors; some also give the word pieces or the network that they use."""

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
    """Turns decoded content into vectors. The same content always gives the same vector.

    `name` is unique and names the table of its embeddings; it changes when the vectors would.
    """

    name: str
    dimensions: int

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages that its weights come in, where an endpoint does not need them anyway."""
        return ()

    @property
    def lasting(self) -> bool:
        """Whether its name means the same vectors in every project: not that of a folder, whose files may change."""
        return not Path(self.name).exists()

    @abstractmethod
    def encode(self, items: Sequence[Any]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of `n` items, in their order."""

    def prepared(self, item: Any) -> Any:
        """What `encode` may get instead of the item: all that costs time and needs no network is done. By default the item."""
        return item

    def unread(self, items: Sequence[Any]) -> NDArray[np.float64]:
        """`(n,)` share of each item that the encoder does not look at, such as the end of a long text."""
        return np.zeros(len(items))

    def unknown(self, items: Sequence[Any]) -> NDArray[np.float64] | None:
        """`(n,)` share of each item's letters that the encoder does not know, where it reads language; by default None."""
        return None

    def of_stored(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(n, dimensions) float32`: what models see of vectors as they are stored."""
        return vectors

    def whole(self) -> "Encoder":
        """The encoder whose vectors are stored: it sees all of an item, whatever models see."""
        return self


class WordPieces(Encoder):
    """An encoder that cuts texts into word pieces, which networks of their own can read, and that can be trained on."""

    @abstractmethod
    def pieces(self, items: Sequence[str]) -> list[list[int]]:
        """The word pieces of `n` texts, each list cut where the encoder cuts its texts."""

    @abstractmethod
    def word_vectors(self) -> "torch.Tensor":
        """`(vocabulary, d) float32`: the vector with which the encoder begins for each word piece."""

    @abstractmethod
    def offsets(self, items: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each word piece of `pieces` stands in its text: first character and the one behind the last.

        Characters are code points. The encoder's own marks have `(0, 0)`.
        """

    @abstractmethod
    def transformer(self) -> Any:
        """A `float32` copy of its network, in training mode; its first output is `(batch, t, d)`, one vector per word piece."""


class Backbone(Encoder):
    """An encoder of pictures or sounds whose network can be trained on."""

    @abstractmethod
    def arrays(self, items: Sequence[bytes]) -> NDArray[Any]:
        """`(n, …)` what its network reads of `n` items."""

    @abstractmethod
    def backbone(self) -> "torch.nn.Module":
        """A `float32` copy of its network, in training mode: from `(batch, …)` arrays to `(batch, dimensions)`."""


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """The `(n, d)` vectors at unit length; 0 stays 0."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
