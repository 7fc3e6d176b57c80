"""What a mixed sample can consist of: numbers, words of a few kinds, times, and the content of every other modality.

A *part* is a JSON value: a number, a text, or base64 where the modality's items are files.
"""

import html
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import InvalidValue
from ml_assets.modalities.base import Modality, Undecodable
from ml_assets.modalities.encoders.base import Encoder

SCALES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the waves by which a number is told apart from others: the slow ones part thousands, the quick ones tenths."""
BUCKETS = 256
"""Words of a category are told apart by their hash."""
WORD = 200
"""Characters of a category at most."""
LARGEST = 1e15
"""Numbers beyond cannot be told from their neighbours."""
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

File = Callable[[bytes, str], str]
"""Keeps a file (its bytes, its ending) where Label Studio shows it; its address there."""


class Part(ABC):
    """One part of mixed samples: how its values are read, described, turned into vectors and shown."""

    json_type: ClassVar[Any] = str
    """The type of its values in JSON."""
    has_files: bool = False
    """Whether its values are files."""

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value in its one form; reading that again changes nothing. Raises `Undecodable`."""

    @abstractmethod
    def describe(self, values: Sequence[Any]) -> dict[str, pa.Array]:
        """Columns by the ending of their name; the empty one is the part's own."""

    @abstractmethod
    def encode(self, values: Sequence[Any], encoder: str) -> NDArray[np.float32]:
        """`(n, dimensions) float32`, unit length."""

    @abstractmethod
    def dimensions(self, encoder: str) -> int:
        """Of its vectors. Raises `ValueError` if it has no such encoder."""

    def work(self, value: Any) -> float:
        """What it costs to read the value, in pixels, samples of a sound or characters, as its header tells."""
        return 0.0

    def prepared(self, value: Any, encoder: str) -> Any:
        """What `encode` may get instead of the value. By default the value."""
        return value

    def encoder(self) -> str:
        """The encoder where none is named."""
        return "built_in"

    def distributions(self, encoder: str) -> tuple[str, ...]:
        """The packages that the encoder's weights come in."""
        return ()

    def show(self, value: Any, limit: int) -> str:
        """A safe HTML fragment."""
        return html.escape(str(value))

    def label_studio_content(self, value: Any, file: File) -> str:
        """A safe HTML fragment for Label Studio's page."""
        return html.escape(str(value)).replace("\n", "<br>")


class Fixed(Part):
    """A part whose vectors follow from its values by a formula."""

    size: ClassVar[int]

    def dimensions(self, encoder: str) -> int:
        """Always the same."""
        if encoder != self.encoder():
            raise InvalidValue(f"it has one encoder only: {self.encoder()}, not {encoder!r}")
        return self.size


class Number(Fixed):
    """A count, a share, a price: any finite number."""

    json_type: ClassVar[Any] = float
    size: ClassVar[int] = 2 * len(SCALES)

    def read(self, value: Any) -> float:
        """From a number, or from text that is one."""
        try:
            found = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not abs(found) <= LARGEST:
            raise Undecodable(f"not a number between -1e15 and 1e15: {_excerpt(value)}")
        return found + 0.0  # no minus zero

    def describe(self, values: Sequence[Any]) -> dict[str, pa.Array]:
        """The numbers themselves."""
        return {"": pa.array(values, pa.float64())}

    def encode(self, values: Sequence[Any], encoder: str) -> NDArray[np.float32]:
        """Sine and cosine of the inverse hyperbolic sine, which is about the logarithm, at `SCALES`."""
        angles = np.arcsinh(np.asarray(values, np.float64))[:, None] * np.array(SCALES)
        return _unit(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))

    def show(self, value: Any, limit: int) -> str:
        """With separators of thousands."""
        return f"{value:,.15g}"

    def label_studio_content(self, value: Any, file: File) -> str:
        """With separators of thousands."""
        return self.show(value, 0)


class Category(Fixed):
    """One of a few words: a source, a language, a product's kind. New ones may come at any time."""

    size: ClassVar[int] = BUCKETS

    def read(self, value: Any) -> str:
        """From text, a whole number or a truth value."""
        if isinstance(value, bool | int):
            value = str(value).lower()
        if not isinstance(value, str) or not value.strip():
            raise Undecodable(f"not a word: {_excerpt(value)}")
        if len(found := value.strip()) > WORD:
            raise Undecodable(f"too long for a category: {len(found)} characters, above {WORD}")
        if "\0" in found:  # which Label Studio's tables cannot hold
            raise Undecodable(f"not a word: {_excerpt(found)} has a zero character")
        if any("\ud800" <= c <= "\udfff" for c in found):  # bytes that are no UTF-8 come so from a table
            raise Undecodable("not UTF-8 text")
        return found

    def describe(self, values: Sequence[Any]) -> dict[str, pa.Array]:
        """The words themselves."""
        return {"": pa.array(values, pa.string())}

    def encode(self, values: Sequence[Any], encoder: str) -> NDArray[np.float32]:
        """1 at the place of the word's hash (Weinberger et al. 2009): words need not be known beforehand."""
        found = np.zeros((len(values), BUCKETS), np.float32)
        found[np.arange(len(values)), [zlib.crc32(value.encode()) % BUCKETS for value in values]] = 1
        return found


class Time(Fixed):
    """A moment, ISO 8601; without a time zone it is UTC."""

    size: ClassVar[int] = 12

    def read(self, value: Any) -> str:
        """In UTC, to the second."""
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (AttributeError, ValueError, OverflowError) as error:
            raise Undecodable(f"not a time such as 2026-01-31T12:00:00Z: {_excerpt(value)}") from error
        return found.replace(microsecond=0).isoformat()

    def describe(self, values: Sequence[Any]) -> dict[str, pa.Array]:
        """`hour` (0 to 24, UTC) and `weekday`; not the date, which always moves on."""
        times = [datetime.fromisoformat(value) for value in values]
        return {
            "hour": pa.array([_hour(time) for time in times], pa.float64()),
            "weekday": pa.array([WEEK[time.weekday()] for time in times], pa.string()),
        }

    def encode(self, values: Sequence[Any], encoder: str) -> NDArray[np.float32]:
        """Two waves each around the day, the week and the year."""
        times = [datetime.fromisoformat(value) for value in values]
        turns = np.array([[_hour(t) / 24, t.weekday() / 7, t.timetuple().tm_yday / 365.25] for t in times]).reshape(-1, 3)
        angles = 2 * np.pi * np.concatenate([turns, 2 * turns], axis=1)
        return _unit(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))


class Content(Part):
    """The content of another modality: a text, a picture, a sound.

    Args:
        modality: Which.
    """

    def __init__(self, modality: Modality):
        self.modality = modality
        self.has_files = modality.has_files

    def read(self, value: Any) -> str:
        """As the modality decodes it, within its bounds."""
        if not isinstance(value, str | bytes):
            raise Undecodable(f"not {self.modality.type}: {_excerpt(value)}")
        item = self.modality.decode(self.modality.from_json(value) if isinstance(value, str) else value)
        (shortest, longest), length = self.modality.bounds, self.modality.length(item)
        if not shortest <= length <= longest:
            raise Undecodable(f"{length:g} {self.modality.unit}, not from {shortest:g} to {longest:g}")
        return self.modality.to_json(item)

    def work(self, value: Any) -> float:
        """What the modality says."""
        try:
            return self.modality.work(self.modality.from_json(value)) if isinstance(value, str) else 0.0
        except Undecodable:
            return 0.0

    def prepared(self, value: Any, encoder: str) -> Any:
        """What the encoder makes of it."""
        return self._encoder(encoder).prepared(self.modality.from_json(value))

    def describe(self, values: Sequence[Any]) -> dict[str, pa.Array]:
        """What the modality says."""
        table = self.modality.describe(self._items(values))
        return {name: table[name].combine_chunks() for name in table.column_names}

    def encode(self, values: Sequence[Any], encoder: str) -> NDArray[np.float32]:
        """By the modality's encoder."""
        return self._encoder(encoder).encode(self._items(values))

    def dimensions(self, encoder: str) -> int:
        """Those of the encoder."""
        return self._encoder(encoder).dimensions

    def distributions(self, encoder: str) -> tuple[str, ...]:
        """As that encoder says."""
        return self._encoder(encoder).distributions

    def encoder(self) -> str:
        """The modality's own."""
        return self.modality.default_encoder

    def show(self, value: Any, limit: int) -> str:
        """As the modality shows it."""
        return self.modality.show(self.modality.from_json(value), limit)

    def label_studio_content(self, value: Any, file: File) -> str:
        """A text as it is; a picture or a sound from its file."""
        if not self.has_files:
            return super().label_studio_content(value, file)
        item = self._items([value])[0]
        address = html.escape(file(item, self.modality.ending(item)))
        player = "audio" in self.modality.label_studio_object().lower()
        return f'<audio controls src="{address}"></audio>' if player else f'<img style="max-width:100%" src="{address}">'

    def _items(self, values: Sequence[Any]) -> list[Any]:
        # prepared ones are arrays where the modality has files; prepared texts are texts
        return [self.modality.from_json(value) if isinstance(value, str) else value for value in values]

    def _encoder(self, name: str) -> Encoder:
        return self.modality.encoder(name)


PLAIN: dict[str, type[Fixed]] = {"number": Number, "category": Category, "time": Time}


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def _hour(time: datetime) -> float:
    return time.hour + time.minute / 60 + time.second / 3600


def _excerpt(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) < 60 else shown[:57] + "…"
