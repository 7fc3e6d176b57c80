"""What a modality is: how its content is decoded, described, embedded and shown."""

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
"""Keeps a file (its bytes, its ending) where Label Studio shows it; its address there."""


class Undecodable(MLAssetsError, ValueError):
    """The content is not what the modality expects; the message is the reason a person reads."""


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

    def sample_id(self, item: Any) -> str:
        """The id of the sample with this item: the same content is the same sample, wherever it comes from."""
        return content_id(self.type, item)

    def to_json(self, item: Any) -> Any:
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
        """One row of plain numbers and words per item, which profiles and filters use.

        A column that is named as the modality holds the items themselves.
        """

    @abstractmethod
    def encoder(self, name: str) -> Encoder:
        """The encoder of that name. Raises `ValueError` with the choices, or if its weights are not installed."""

    @abstractmethod
    def label_studio_object(self) -> str:
        """The Label Studio object tag that shows an item, read from `$content` (media: its address); its name is `content`."""

    def label_studio_content(self, item: Any, file: File) -> str:
        """What that tag reads as `$content`: texts as people read them, of files their address."""
        return file(item, self.ending(item)) if self.has_files else str(item)

    def label_studio_part(self, item: Any, file: File) -> str:
        """A safe HTML fragment that shows the item to annotators among the parts of a mixed sample."""
        if not self.has_files:
            return html.escape(str(item)).replace("\n", "<br>")
        return f'<img style="max-width:100%" src="{html.escape(file(item, self.ending(item)))}">'

    @abstractmethod
    def show(self, item: Any, limit: int) -> str:
        """A safe HTML fragment that shows the item: a text cut at `limit` characters, a thumbnail, a player."""

    def examples(self) -> Sequence[str | bytes]:
        """A few contents, as different as they come, by which it is tested."""
        return ()

    def ending(self, item: Any) -> str:
        """The ending of a file that holds the item, such as `.png`."""
        return ".txt"


class Scalar(Modality):
    """A single value, such as a number, a word or a moment, that stands in mixed samples only.

    An item is the text of the value in one form. Its vector follows from it by a formula, so that nothing is learnt.
    """

    column: ClassVar[Literal["text", "media"]] = "text"
    unit: ClassVar[str] = "values"
    bounds: ClassVar[tuple[float, float]] = (1, 1)
    default_encoder: ClassVar[str] = "built_in"
    dimensions: ClassVar[int]
    """Numbers in its vectors."""

    @abstractmethod
    def from_json(self, content: Any) -> str:
        """The item of a value of whatever type in JSON. Raises `Undecodable`."""

    @abstractmethod
    def vectors(self, items: Sequence[str]) -> NDArray[Any]:
        """`(n, dimensions)` vectors of the items, of any length but 0."""

    def decode(self, content: str | bytes) -> str:
        """The item of a value that is text."""
        try:
            return self.from_json(content if isinstance(content, str) else content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise Undecodable(f"not UTF-8 text at position {error.start}") from error

    def work(self, content: str | bytes) -> float:
        """0, for reading a single value costs nothing."""
        return 0.0

    def length(self, item: str) -> float:
        """1, for it is a single value."""
        return 1.0

    def encoder(self, name: str) -> "ScalarEncoder":
        """The one encoder, `built_in`: the formula."""
        if name != self.default_encoder:
            raise InvalidValue(f"it has one encoder only: {self.default_encoder}, not {name!r}")
        return ScalarEncoder(name=name, dimensions=self.dimensions, modality=self)

    def label_studio_object(self) -> str:
        """Label Studio's `Text`."""
        return '<Text name="content" value="$content"/>'

    def show(self, item: str, limit: int = 0) -> str:
        """The escaped text; `limit` counts characters and is not used."""
        return html.escape(item)


class ScalarEncoder(Encoder):
    """The vectors that a scalar modality makes, brought to unit length."""

    modality: Scalar

    @property
    def lasting(self) -> bool:
        """False, for the encoder of every scalar has the same name."""
        return False

    def encode(self, items: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32`, unit length."""
        vectors = self.modality.vectors(items)
        return unit(vectors)


def excerpt(value: Any) -> str:
    """A value from outside in at most 60 characters, as a message tells it."""
    shown = repr(value)
    return shown if len(shown) < 60 else shown[:57] + "…"
