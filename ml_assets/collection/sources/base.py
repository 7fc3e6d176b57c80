"""What a source is: named files, each with a fingerprint, each read as batches of records."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ml_assets.errors import MLAssetsError
from ml_assets.home import expand
from ml_assets.records import Record
from ml_assets.registry import Plugin

BATCH = 1000
"""Records a source yields at a time."""


class SourceError(MLAssetsError, ValueError):
    """The source cannot be read; the message says why."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Args:
        uri: Where it is.
        fingerprint: Changes when the file does (size and time of change, or the object store's ETag).
    """

    uri: str
    fingerprint: str


@dataclass(frozen=True)
class BadRecord:
    """A record that could not even be read."""

    origin: str
    reason: str
    excerpt: str


class Source(Plugin):
    """Where samples come from."""

    name: str = Field(min_length=1)
    """Name of the source: samples, rejects and reports carry it."""
    split: Literal["train", "test"] | None = None
    """Fixes the split of all its records (an official test set); by default the hash of each sample decides."""
    hint: str = ""
    """What to do where nothing is found at its place: said with the mistake."""

    @abstractmethod
    def files(self) -> list[SourceFile]:
        """What there is to read now, in a stable order. Raises `SourceError` if the place cannot be listed."""

    @abstractmethod
    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """The records of one file in batches. Raises `SourceError` if the file as a whole cannot be read."""


def listing(pattern: str, hint: str = "") -> list[SourceFile]:
    """The files at a path, below a folder or that match a glob, on any file system that fsspec knows, sorted."""
    import fsspec
    from botocore.exceptions import BotoCoreError  # of S3: no connection, no credentials

    pattern, hint = expand(pattern), f": {hint}" if hint else ""
    try:
        fs, path = fsspec.url_to_fs(pattern)
        fs.invalidate_cache()  # object stores' listings are kept for as long as the process lives
        if any(c in path for c in "*?["):
            found = fs.glob(path, detail=True)
            if not found:
                raise SourceError(f"nothing matches {pattern}{hint}")
        elif fs.isdir(path):
            found = fs.find(path, detail=True)
        elif fs.exists(path):
            found = {path: fs.info(path)}
        else:
            raise SourceError(f"there is nothing at {pattern}{hint}")
    except (OSError, ImportError, ValueError, BotoCoreError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{pattern} cannot be listed: {error}") from error
    files = [info for info in found.values() if info.get("type") == "file" and not _hidden(str(info["name"]))]
    return sorted((SourceFile(fs.unstrip_protocol(i["name"]), _fingerprint(i)) for i in files), key=lambda f: f.uri)


def fingerprint(uri: str) -> str:
    """The fingerprint of one file as it is now; of one that is gone, the empty text's."""
    import fsspec
    from botocore.exceptions import BotoCoreError

    try:
        fs, path = fsspec.url_to_fs(uri)
        return _fingerprint(fs.info(path))
    except (OSError, BotoCoreError):
        return _fingerprint({})


def _hidden(name: str) -> bool:
    return name.rsplit("/", 1)[-1].startswith(".")


def _fingerprint(info: dict[str, Any]) -> str:
    changed = info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or ""
    return f"{info.get('size')}-{changed}"
