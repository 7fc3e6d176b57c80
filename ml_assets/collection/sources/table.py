"""A source that takes every row of a table as one sample: CSV, TSV, Parquet, JSON lines, a JSON array."""

import base64
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ml_assets.collection.sources.base import BATCH, BadRecord, Names, Source, SourceFile, listing, opened, written
from ml_assets.collection.sources.files import MAX_BYTES
from ml_assets.collection.sources.reading.delimited import Row
from ml_assets.collection.sources.reading.places import path_here
from ml_assets.collection.sources.reading.rows import Format, format_of, rows_of
from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.state.home import expand
from ml_assets.store.records import Record

SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
"""Names of splits that are known without the option `splits`."""
YES, NO = ("1", "1.0", "true", "yes", "x"), ("0", "0.0", "false", "no")
"""Values in a column named like a tag: those that mean that a sample has the tag, and those that mean that it has not."""

Content = Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)]
"""Type of the option `content`: a column with whole samples, or columns with the parts of mixed samples."""


class _Wrong(MLAssetsError, ValueError):
    """Raised for a row that cannot be read; the message is the reason."""


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class TableSource(Source):
    """One sample per row."""

    name_in_yaml: ClassVar[str] = "table"

    path: str = Field(min_length=1)
    """A file, a folder, a glob or any fsspec URI; the ending of each file tells its format, also before `.gz` or `.xz`."""
    format: Format | None = None
    """The format of the table, if the ending of the file does not tell it."""
    content: Content = "text"
    """The column with the sample, or a list of the columns with the parts of a mixed sample, named like the parts."""
    file_columns: Annotated[tuple[str, ...], BeforeValidator(_one_or_several)] = ()
    """Columns of the content that hold paths of files, relative to the table's folder or to `folder`."""
    folder: str | None = None
    """The folder to which the paths in `file_columns` are relative: by default the table's."""
    label: Content | None = None
    """The column with the label of each sample, if labels come with the data. For tags also a list of columns, each of which
    holds a tag, or 1 or 0 for the tag with the column's name.
    """
    rename: Names = {}
    """Names of classes by the names in the table: `{neg: negative, 1: positive}`."""
    label_unit: Literal["shares", "percent", "pixels"] | None = None
    """Unit of the positions and sizes of boxes; by default shares of the picture's width and height, 0 to 1."""
    labeler: str = Field("published", min_length=1)
    """Who gave the labels that come with the data."""
    split_column: str | None = None
    """The column that holds the split of each row, `train` or `test`; where it is empty, the hash decides."""
    splits: Names = {}
    """Names of splits by the names in the table: `{dev: train, holdout: test}`."""
    group: str | None = None
    """The column whose equal values share a split (a speaker, a document)."""
    columns: tuple[str, ...] = ()
    """Further columns that are kept with each sample."""

    @model_validator(mode="after")
    def _fit(self) -> "TableSource":
        where = f"the source {self.name!r}"
        if self.split and self.split_column:
            raise InvalidValue(f"{where} names split and split_column: choose one of them")
        if wrong := [name for name in self.splits.values() if name not in ("train", "test")]:
            raise InvalidValue(f"{where} makes {wrong[0]!r} of a split: choose train or test")
        if other := [name for name in self.file_columns if name not in columns_of(self.content)]:
            raise InvalidValue(f"{where} names {other[0]!r} under file_columns, which is no column of its content")
        return self

    def files(self) -> list[SourceFile]:
        """The files, sorted by URI."""
        return listing(self.path, self.hint)

    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """Yield batches of records; `origin` is the file's URI and the row's number from 1."""
        labels = columns_of(self.label or ())
        needed = [*columns_of(self.content), *labels, *filter(None, [self.split_column, self.group]), *self.columns]
        numbered = enumerate(rows_of(uri, format_of(uri, self.format), list(dict.fromkeys(needed))), 1)
        batch, size = list[Record | BadRecord](), 0
        for number, row in numbered:
            record = self.record(row, f"{uri}#{number}")
            batch.append(record)
            size += len(record.content) if isinstance(record, Record) else 0
            if len(batch) == BATCH or size > MAX_BYTES:  # the files that a table names may be large
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def record(self, row: Row, origin: str) -> Record | BadRecord:
        """The record that a row of the table becomes, or a `BadRecord` with the reason."""
        if isinstance(row, BadRecord):
            return BadRecord(origin, row.reason, row.excerpt)
        try:
            row = row | {name: self._file(row.get(name), origin) for name in self.file_columns}
            content, split = content_of(row, self.content), self._split(row)
        except RecursionError:
            return BadRecord(origin, "nested too deeply", "")
        except _Wrong as error:
            return BadRecord(origin, str(error), repr(row.get(columns_of(self.content)[0]))[:200])
        if content is None:
            return BadRecord(origin, f"no text in column {self.content!r}", repr(row.get(str(self.content)))[:200])
        group = row.get(self.group) if self.group else None
        return Record(
            content,
            origin,
            split=split,
            group=None if _is_missing(group) else str(group),
            label=self._label(row),
            labeler=self.labeler,
            columns={name: row.get(name) for name in self.columns} or None,
            unit=self.label_unit,
        )

    def _label(self, row: dict[str, Any]) -> Any:
        """The label of the row, with `rename` applied; None if it has none."""
        if self.label is None or isinstance(self.label, str):
            label = row.get(self.label) if self.label else None
            return None if _is_missing(label) else _renamed(label, self.rename)
        tags = []
        for column in self.label:
            said = written(cell).strip() if not _is_missing(cell := row.get(column)) else "0"
            if said.lower() not in NO:
                tags.append(_renamed(column if said.lower() in YES else cell, self.rename))
        return tags or None

    def _split(self, row: dict[str, Any]) -> str | None:
        """The split that the row names, else that of the source. Raises `_Wrong` if the name is unknown."""
        if self.split_column is None or _is_missing(said := row.get(self.split_column)):
            return self.split
        name, known = written(said).strip(), SPLITS | self.splits
        if (found := known.get(name, known.get(name.lower()))) is None:
            raise _Wrong(f"unknown split {name[:40]!r}: say under `splits` what it is, as in `splits: {{{name[:40]}: train}}`")
        return found

    def _file(self, path: Any, origin: str) -> bytes | None:
        """The content of the file that a cell names; None if the cell is empty. Raises `_Wrong`."""
        from botocore.exceptions import BotoCoreError

        if _is_missing(path):
            return None
        table = origin.rpartition("#")[0]
        folder = (expand(self.folder) if self.folder else table.rpartition("/")[0]).rstrip("/")
        here = path_here(folder)
        place = os.path.normpath(os.path.join(here or "/", str(path).replace("\\", "/")))
        if not place.startswith((here or "") + "/") or "\x00" in place:
            raise _Wrong(f"{str(path)[:200]!r} is not below {folder}: say with `folder` where the files are")
        try:
            with opened(place if here is not None else folder + place) as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise _Wrong(f"no file {str(path)[:200]!r} in {folder}: say with `folder` where the files are") from None
        except (OSError, BotoCoreError) as error:
            raise _Wrong(f"{str(path)[:200]!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if len(content) > MAX_BYTES:
            raise _Wrong(f"{str(path)[:200]!r} is larger than {MAX_BYTES // 2**20} MiB")
        return content


def columns_of(content: str | tuple[str, ...]) -> tuple[str, ...]:
    """The column names of a content option as a tuple."""
    return (content,) if isinstance(content, str) else content


def content_of(row: dict[str, Any], content: str | tuple[str, ...]) -> str | bytes | None:
    """The content of a row: text, bytes, or the parts of a mixed sample as a JSON object; None if it is none of these."""
    value = row.get(content) if isinstance(content, str) else {name: row.get(name) for name in content}
    if isinstance(value, dict):
        # in many tables a missing number is NaN
        return json.dumps({k: v for k, v in value.items() if v is not None and v == v}, default=_plain)
    return value if isinstance(value, str | bytes) else None


def _plain(value: Any) -> str:
    """Text for a value that JSON cannot represent; bytes become Base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _is_missing(value: Any) -> bool:
    """Whether the cell is empty: None, NaN or only whitespace."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip())


def _renamed(label: Any, rename: Mapping[str, str]) -> Any:
    """The label with its class names replaced, also inside of lists and objects."""
    if not rename:
        return label
    if isinstance(label, str) and label not in rename and label.lstrip().startswith(("[", "{")):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            return label
    if isinstance(label, list | tuple):
        return [_renamed(each, rename) for each in label]
    if isinstance(label, Mapping):
        return {**label, "label": _renamed(label.get("label"), rename)}
    name = written(label)
    return rename.get(name, rename.get(name.strip(), label))
