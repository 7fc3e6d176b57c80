"""What a source is: named files, each with a fingerprint, each read as batches of records."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ml_assets.collection.sources.reading.places import SourceError, SourceFile, fingerprint, listing, opened
from ml_assets.registry import Plugin
from ml_assets.store.records import Record

__all__ = ["BATCH", "BadRecord", "Names", "Source", "SourceError", "SourceFile", "fingerprint", "listing", "opened", "written"]

BATCH = 1000
"""Records a source yields at a time."""


@dataclass(frozen=True)
class BadRecord:
    """A record that could not even be read."""

    origin: str
    reason: str
    excerpt: str


def written(value: Any) -> str:
    """The value as people write it: `1` and not `1.0`, which tables with gaps make of it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _names(value: Any) -> Any:
    """Names as people write them in a YAML, where `0` is a number."""
    return {written(name): written(other) for name, other in value.items()} if isinstance(value, Mapping) else value


Names = Annotated[dict[str, str], BeforeValidator(_names)]
"""What something is called here, by what it is called there."""


class Source(Plugin):
    """Where samples come from."""

    name: str = Field(min_length=1)
    """Name of the source: samples, rejects and reports carry it."""
    split: Literal["train", "test"] | None = None
    """Fixes the split of all its records (an official test set); by default the hash of each sample decides."""
    group_from_source: bool = False
    """Make all its records one group, in place of any other: the source is in one split as a whole. The hash of its name says
    in which, unless `split` does."""
    hint: str = ""
    """What to do where nothing is found at its place: said with the mistake."""

    @abstractmethod
    def files(self) -> list[SourceFile]:
        """What there is to read now, in a stable order. Raises `SourceError` if the place cannot be listed."""

    @abstractmethod
    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """The records of one file in batches. Raises `SourceError` if the file as a whole cannot be read."""
