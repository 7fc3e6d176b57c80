"""What a modality is: how its content is decoded, described, embedded and shown."""

import base64
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import MLAssetsError
from ml_assets.offsets import UNMOVED, Offsets
from ml_assets.registry import Plugin, Settings

if TYPE_CHECKING:
    import torch


class Undecodable(MLAssetsError, ValueError):
    """The content is not what the modality expects; the message is the reason a person reads."""


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


class Modality(Plugin):
    """One kind of content.

    An *item* is content that was decoded once: it is stored as it is, and decoding it again changes nothing. Texts are `str`;
    pictures and sounds are the `bytes` of their files, checked to be readable within the modality's bounds.
    """

    column: ClassVar[Literal["text", "media"]]
    """The column of the tables in which its items stand: `text` holds `str`, `media` holds `bytes`."""
    unit: ClassVar[str]
    """What `length` counts, such as `characters`."""
    bounds: ClassVar[tuple[float, float]]
    """The shortest and the longest item that collection accepts, unless the project says otherwise."""
    default_encoder: ClassVar[str]
    """The encoder of projects that name none."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """What a feature set may name under `inputs`: `content` is all of it."""
        return ("content",)

    @property
    def has_files(self) -> bool:
        """Whether Label Studio gets its samples as files."""
        return self.column == "media"

    def only(self, inputs: Sequence[str]) -> Self:
        """The same modality, of whose samples models see these inputs."""
        return self

    @abstractmethod
    def decode(self, content: str | bytes) -> Any:
        """The item. Raises `Undecodable` with one sentence; memory stays bounded whatever the content is."""

    def work(self, content: str | bytes) -> float:
        """The cost of decoding the content, by its header: pixels, samples of a sound, characters; 0 if that is broken."""
        return float(len(content))

    def bounded(self, work: float) -> Self:
        """The same modality, which gives up on content whose header did not tell that it costs more than `work`."""
        return self

    def offsets(self, content: Any) -> Offsets:
        """Where the characters of the item stood in the content that `decode` makes it of."""
        return UNMOVED

    def from_json(self, content: str | Mapping[str, Any]) -> str | bytes:
        """Content that came in JSON, which holds no bytes: pictures and sounds are base64 in it. Raises `Undecodable`."""
        if not isinstance(content, str):
            raise Undecodable(f"an object where {'a text' if self.column == 'text' else 'base64'} is needed")
        if self.column == "text":
            return content
        try:
            return base64.b64decode(content, validate=True)
        except ValueError as error:
            raise Undecodable(f"not base64: {' '.join(str(error).split())}") from error

    def to_json(self, item: Any) -> str:
        """The item as JSON can hold it; `from_json` gives it back."""
        return str(item) if self.column == "text" else base64.b64encode(item).decode()

    def json_type(self) -> Any:
        """The type of its content in JSON, from which the endpoint's documentation is made."""
        return str

    def size(self, item: Any) -> tuple[int, int] | None:
        """Width and height of a picture in pixels, as one looks at it; None of what is none."""
        return None

    @abstractmethod
    def length(self, item: Any) -> float:
        """How long it is, in `unit`."""

    @abstractmethod
    def describe(self, items: Sequence[Any]) -> pa.Table:
        """One row of plain numbers and words per item, which profiles and filters use."""

    @abstractmethod
    def encoder(self, name: str) -> Encoder:
        """The encoder of that name. Raises `ValueError` with the choices, or if its weights are not installed."""

    @abstractmethod
    def label_studio_object(self) -> str:
        """The Label Studio object tag that shows an item, read from `$content` (media: its address); its name is `content`."""

    def label_studio_content(self, item: Any, file: Callable[[bytes, str], str]) -> str:
        """What that tag reads as `$content`: texts as people read them, of files their address.

        `file(content, ending)` keeps a file where Label Studio shows it, and returns its address.
        """
        return file(item, self.ending(item)) if self.has_files else str(item)

    @abstractmethod
    def show(self, item: Any, limit: int) -> str:
        """A safe HTML fragment that shows the item: a text cut at `limit` characters, a thumbnail, a player."""

    def examples(self) -> Sequence[str | bytes]:
        """A few contents, as different as they come, by which it is tested."""
        return ()

    def ending(self, item: Any) -> str:
        """The ending of a file that holds the item, such as `.png`."""
        return ".txt"
