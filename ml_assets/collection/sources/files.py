"""A folder or glob in which every file is one sample."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from ml_assets.collection.sources.base import BadRecord, Source, SourceError, SourceFile, listing
from ml_assets.records import Record

MAX_BYTES = 64 * 1024 * 1024


class Files(Source):
    """One sample per file; the file's folder can be its label."""

    name_in_yaml: ClassVar[str] = "files"

    path: str = Field(min_length=1)
    """A folder, a glob or any fsspec URI, such as `s3://bucket/texts/*.txt`."""
    label_from_folder: bool = False
    """Take the name of the folder that holds a file as its label."""
    labeler: str = Field("published", min_length=1)
    """Who gave the labels that come with the files."""

    def files(self) -> list[SourceFile]:
        """The files, sorted by URI."""
        return listing(self.path, self.hint)

    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """One batch with one record."""
        import fsspec
        from botocore.exceptions import BotoCoreError

        try:
            with fsspec.open(uri, "rb") as file:
                content = file.read(MAX_BYTES + 1)
        except (OSError, BotoCoreError) as error:
            raise SourceError(f"{uri} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if len(content) > MAX_BYTES:
            yield [BadRecord(uri, f"larger than {MAX_BYTES // 2**20} MiB", "")]
            return
        label = uri.rsplit("/", 2)[-2] if self.label_from_folder else None
        yield [Record(content, uri, split=self.split, label=label, labeler=self.labeler if label else None)]
