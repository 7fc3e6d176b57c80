"""What a modality is: how its content is decoded, described, embedded and shown."""

import base64
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa

from ml_assets.errors import MLAssetsError
from ml_assets.modalities.encoders.base import Encoder
from ml_assets.registry import Plugin
from ml_assets.state.digests import content_id
from ml_assets.texts.offsets import UNMOVED, Offsets


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
