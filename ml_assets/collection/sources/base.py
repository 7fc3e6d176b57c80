"""Base class of sources: a source lists files, each with a fingerprint, and reads each file as batches of records."""

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
"""Number of records that a source yields at a time."""


@dataclass(frozen=True)
class BadRecord:
    """A record that could not be read, with the reason and an excerpt."""

    origin: str
    reason: str
    excerpt: str


def written(value: Any) -> str:
    """The value as people write it: whole floats such as 1.0 become `1`, as tables with gaps turn integers into floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _names(value: Any) -> Any:
    """The mapping with keys and values as text, because YAML reads names such as `0` as numbers."""
    return {written(name): written(other) for name, other in value.items()} if isinstance(value, Mapping) else value


Names = Annotated[dict[str, str], BeforeValidator(_names)]
"""A mapping of names in the data to names in the project."""


class Source(Plugin):
    """Base class of all sources of samples."""

    name: str = Field(min_length=1)
    """Name of the source: samples, rejects and reports carry it."""
    split: Literal["train", "test"] | None = None
    """The split of all records of the source (for an official test set); by default the hash of each sample decides."""
    group_from_source: bool = False
    """Make all records of the source one group, in place of any other: the whole source is in one split. The hash of its name
    decides in which, unless `split` does.
    """
    hint: str = ""
    """Advice that is added to the message if nothing is found at the path."""

    @abstractmethod
    def files(self) -> list[SourceFile]:
        """List the files that can be read now, in a stable order. Raises `SourceError` if the source cannot be listed."""

    @abstractmethod
    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """Yield the records of one file in batches. Raises `SourceError` if the file as a whole cannot be read."""
