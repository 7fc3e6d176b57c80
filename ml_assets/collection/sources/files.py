"""A source that takes every file of a folder or glob as one sample."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ml_assets.collection.sources.base import BadRecord, Names, Source, SourceError, SourceFile, listing, opened
from ml_assets.store.records import Record

MAX_BYTES = 64 * 1024 * 1024


class Files(Source):
    """One sample per file; the file's folder can be its label."""

    name_in_yaml: ClassVar[str] = "files"

    path: str = Field(min_length=1)
    """A folder, a glob or any fsspec URI, such as `s3://bucket/texts/*.txt`."""
    label_from_folder: bool | Annotated[int, Field(ge=1)] = False
    """Take the name of the folder that holds a file as its label: `true` or 1; 2 is the folder above that one, and so on."""
    rename: Names = {}
    """Names of classes by the names of their folders: `{neg: negative, 1: positive}`."""
    group_from_folder: bool | Annotated[int, Field(ge=1)] = False
    """Take the name of a folder as the group, whose files share a split (a speaker, a document); counted as in
    `label_from_folder`.
    """
    labeler: str = Field("published", min_length=1)
    """Who gave the labels that come with the files."""

    def files(self) -> list[SourceFile]:
        """The files, sorted by URI."""
        return listing(self.path, self.hint)

    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """Yield one batch with one record: the whole file."""
        from botocore.exceptions import BotoCoreError

        try:
            with opened(uri) as file:
                content = file.read(MAX_BYTES + 1)
        except (OSError, BotoCoreError) as error:
            raise SourceError(f"{uri} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if len(content) > MAX_BYTES:
            yield [BadRecord(uri, f"larger than {MAX_BYTES // 2**20} MiB", "")]
            return
        label, group = _folder(uri, self.label_from_folder), _folder(uri, self.group_from_folder)
        label = label and self.rename.get(label, label)
        yield [Record(content, uri, split=self.split, group=group, label=label, labeler=self.labeler if label else None)]


def _folder(uri: str, above: int) -> str | None:
    """Name of the folder `above` levels above the file, 1 being its own; None if that is 0 or there is none."""
    parts = uri.split("/")[:-1]
    return parts[-above] or None if 0 < above <= len(parts) else None
