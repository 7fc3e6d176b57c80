"""Base classes of modalities: how content is decoded, described, embedded and shown."""

import base64
import html
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.modalities.encoders.base import Encoder, unit
from ml_assets.registry import Plugin
from ml_assets.state.digests import content_id
from ml_assets.texts.offsets import UNMOVED, Offsets

File = Callable[[bytes, str], str]
"""A function that stores a file (bytes, file extension) where Label Studio can show it, and returns its address."""


class Undecodable(MLAssetsError, ValueError):
    """Raised for content that the modality does not accept; the message is the reason, for people."""


class Modality(Plugin):
    """Base class of modalities: one kind of content, such as text or pictures.

    An *item* is content that was decoded once: it is stored as it is, and decoding it again changes nothing. Texts are `str`;
    pictures and sounds are the `bytes` of their files, checked to be readable within the modality's bounds.
    """

    column: ClassVar[Literal["text", "media"]]
    """The column of the tables in which its items stand: `text` holds `str`, `media` holds `bytes`."""
    unit: ClassVar[str]
    """Unit of `length`, such as `characters`."""
    bounds: ClassVar[tuple[float, float]]
    """Minimum and maximum length of an item that collection accepts, unless the project sets others."""
    default_encoder: ClassVar[str]
    """Name of the encoder of projects that name none."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names that a feature set may list under `inputs`; `content` is the whole sample."""
        return ("content",)

    @property
    def has_files(self) -> bool:
        """Whether Label Studio gets the samples as files."""
        return self.column == "media"

    def only(self, inputs: Sequence[str]) -> Self:
        """A copy of the modality restricted to these inputs."""
        return self

    @abstractmethod
    def decode(self, content: str | bytes) -> Any:
        """Decode content to an item. Raises `Undecodable` with one sentence; memory use is bounded for any content."""

    def work(self, content: str | bytes) -> float:
        """Cost of decoding the content, from its header: pixels, samples of a sound, characters; 0 if the header is broken."""
        return float(len(content))

    def bounded(self, work: float) -> Self:
        """A copy that stops decoding at a cost above `work`, for content whose header does not tell its cost."""
        return self

    def offsets(self, content: Any) -> Offsets:
        """Mapping between character positions in the item and in the content that `decode` made it from."""
        return UNMOVED

    def from_json(self, content: str | Mapping[str, Any]) -> str | bytes:
        """Content from its JSON form, in which pictures and sounds are Base64. Raises `Undecodable`."""
        if not isinstance(content, str):
            raise Undecodable(f"an object where {'a text' if self.column == 'text' else 'base64'} is needed")
        if self.column == "text":
            return content
        try:
            return base64.b64decode(content, validate=True)
        except ValueError as error:
            raise Undecodable(f"not base64: {' '.join(str(error).split())}") from error

    def sample_id(self, item: Any) -> str:
        """The sample's id: a hash of modality and item, so that equal content is one sample, wherever it comes from."""
        return content_id(self.type, item)

    def to_json(self, item: Any) -> Any:
        """The item in its JSON form; `from_json` reverses it."""
        return str(item) if self.column == "text" else base64.b64encode(item).decode()

    def json_type(self) -> Any:
        """The Python type of the content's JSON form, for the endpoint's documentation."""
        return str

    def size(self, item: Any) -> tuple[int, int] | None:
        """Width and height of a picture in pixels, upright; None for other content."""
        return None

    @abstractmethod
    def length(self, item: Any) -> float:
        """Length of the item in `unit`."""

    @abstractmethod
    def describe(self, items: Sequence[Any]) -> pa.Table:
        """One row of numbers and words per item, for profiles and filters.

        A column named like the modality holds the items themselves.
        """

    @abstractmethod
    def encoder(self, name: str) -> Encoder:
        """The encoder with this name. Raises `ValueError` with the choices, or if its weights are not installed."""

    @abstractmethod
    def label_studio_object(self) -> str:
        """The Label Studio object tag that shows an item from `$content` (for files: its address); its name is `content`."""

    def label_studio_content(self, item: Any, file: File) -> str:
        """The value of `$content` in a Label Studio task: the text, or the address of the file."""
        return file(item, self.ending(item)) if self.has_files else str(item)

    def label_studio_part(self, item: Any, file: File) -> str:
        """A safe HTML fragment that shows the item to annotators as a part of a mixed sample."""
        if not self.has_files:
            return html.escape(str(item)).replace("\n", "<br>")
        return f'<img style="max-width:100%" src="{html.escape(file(item, self.ending(item)))}">'

    @abstractmethod
    def show(self, item: Any, limit: int) -> str:
        """A safe HTML fragment that shows the item: a text cut at `limit` characters, a thumbnail, or a player."""

    def examples(self) -> Sequence[str | bytes]:
        """A few different contents for tests."""
        return ()

    def ending(self, item: Any) -> str:
        """Extension of a file that holds the item, such as `.png`."""
        return ".txt"


class Scalar(Modality):
    """Base class of modalities of a single value, such as a number, word or time; only for parts of mixed samples.

    An item is the text of the value in a canonical form. Its vector is computed by a formula, without training.
    """

    column: ClassVar[Literal["text", "media"]] = "text"
    unit: ClassVar[str] = "values"
    bounds: ClassVar[tuple[float, float]] = (1, 1)
    default_encoder: ClassVar[str] = "built_in"
    dimensions: ClassVar[int]
    """Number of dimensions of the vectors."""

    @abstractmethod
    def from_json(self, content: Any) -> str:
        """The item for a value of any JSON type. Raises `Undecodable`."""

    @abstractmethod
    def vectors(self, items: Sequence[str]) -> NDArray[Any]:
        """`(n, dimensions)` vectors of the items, of any length except 0."""

    def decode(self, content: str | bytes) -> str:
        """The item for a value given as text. Raises `Undecodable`."""
        try:
            return self.from_json(content if isinstance(content, str) else content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise Undecodable(f"not UTF-8 text at position {error.start}") from error

    def work(self, content: str | bytes) -> float:
        """Always 0, as decoding a single value costs nothing."""
        return 0.0

    def length(self, item: str) -> float:
        """Always 1, as there is a single value."""
        return 1.0

    def encoder(self, name: str) -> "ScalarEncoder":
        """The only encoder, `built_in`, which applies the formula. Raises `ValueError` for other names."""
        if name != self.default_encoder:
            raise InvalidValue(f"it has one encoder only: {self.default_encoder}, not {name!r}")
        return ScalarEncoder(name=name, dimensions=self.dimensions, modality=self)

    def label_studio_object(self) -> str:
        """Label Studio's `Text` tag."""
        return '<Text name="content" value="$content"/>'

    def show(self, item: str, limit: int = 0) -> str:
        """The text escaped for HTML; `limit` counts characters and is not used."""
        return html.escape(item)


class ScalarEncoder(Encoder):
    """An encoder that scales the vectors of a scalar modality to unit length."""

    modality: Scalar

    @property
    def lasting(self) -> bool:
        """Always False, because the encoders of all scalar modalities have the same name."""
        return False

    def encode(self, items: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of unit length."""
        vectors = self.modality.vectors(items)
        return unit(vectors)


def excerpt(value: Any) -> str:
    """The `repr` of a value from outside, shortened to 60 characters for messages."""
    shown = repr(value)
    return shown if len(shown) < 60 else shown[:57] + "…"
