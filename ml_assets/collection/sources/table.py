"""Tables in which every row is one sample: CSV, TSV, Parquet, JSON lines."""

import base64
import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ml_assets.cells import as_written
from ml_assets.collection.sources.base import BATCH, BadRecord, Source, SourceError, SourceFile, listing
from ml_assets.records import Record

FORMATS = ("csv", "tsv", "parquet", "jsonl")
SNIFF = 4096
PREDICTED = ("predicted_label", "predicted_confidence", "predicted_scores", "predicted_by", "problem")
"""The columns by which a table is known that bulk prediction wrote: text that looks like a formula is marked in it."""
MAX_FIELD = 64 * 1024 * 1024
csv.field_size_limit(MAX_FIELD)

Row = dict[str, Any] | BadRecord
Content = Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)]
"""A column with whole samples, or columns with the parts of mixed ones."""


class TableSource(Source):
    """One sample per row."""

    name_in_yaml: ClassVar[str] = "table"

    path: str = Field(min_length=1)
    """A file, a folder, a glob or any fsspec URI; the ending of each file tells its format."""
    format: Literal["csv", "tsv", "parquet", "jsonl"] | None = None
    """The format, where the ending does not tell it."""
    content: Content = "text"
    """The column that holds the sample, or a list of those that hold the parts of a mixed one, named as these."""
    label: str | None = None
    """The column that holds its label, if labels come with the data."""
    labeler: str = Field("published", min_length=1)
    """Who gave the labels that come with the data."""
    group: str | None = None
    """The column whose equal values share a split (a speaker, a document)."""
    columns: tuple[str, ...] = ()
    """Further columns that are kept with each sample."""

    def files(self) -> list[SourceFile]:
        """The files, sorted by URI."""
        return listing(self.path, self.hint)

    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """Batches of records; `origin` is the file's URI and the row's number from 1."""
        needed = [*columns_of(self.content), *filter(None, [self.label, self.group]), *self.columns]
        numbered = enumerate(rows_of(uri, self._format(uri), list(dict.fromkeys(needed))), 1)
        while batch := list(islice(numbered, BATCH)):
            yield [self.record(row, f"{uri}#{number}") for number, row in batch]

    def _format(self, uri: str) -> str:
        ending = self.format or uri.rsplit("?", 1)[0].rsplit(".", 1)[-1].lower()
        if ending not in FORMATS:
            raise SourceError(f"{uri} has an unknown format: name it with `format`, one of {', '.join(FORMATS)}")
        return ending

    def record(self, row: Row, origin: str) -> Record | BadRecord:
        """What a row says, if it says it well."""
        if isinstance(row, BadRecord):
            return BadRecord(origin, row.reason, row.excerpt)
        try:
            content = content_of(row, self.content)
        except RecursionError:
            return BadRecord(origin, "nested too deeply", "")
        if content is None:
            return BadRecord(origin, f"no text in column {self.content!r}", repr(row.get(str(self.content)))[:200])
        label = row.get(self.label) if self.label else None
        return Record(
            content,
            origin,
            split=self.split,
            group=str(row[self.group]) if self.group and row.get(self.group) is not None else None,
            label=None if label in (None, "") else label,
            labeler=self.labeler,
            columns={name: row.get(name) for name in self.columns} or None,
        )


def columns_of(content: str | tuple[str, ...]) -> tuple[str, ...]:
    """The columns in which the content stands."""
    return (content,) if isinstance(content, str) else content


def content_of(row: dict[str, Any], content: str | tuple[str, ...]) -> str | bytes | None:
    """What the row holds: text, bytes, or the parts of a mixed sample as a JSON object; None if it is nothing of these."""
    value = row.get(content) if isinstance(content, str) else {name: row.get(name) for name in content}
    if isinstance(value, dict):
        # a number that is not there is NaN in many tables
        return json.dumps({k: v for k, v in value.items() if v is not None and v == v}, default=_plain)
    return value if isinstance(value, str | bytes) else None


def _plain(value: Any) -> str:
    """A value that JSON does not have."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def rows_of(uri: str, format: str, needed: Iterable[str]) -> Iterator[Row]:
    """The rows of a table as dictionaries. Raises `SourceError` if it cannot be read or lacks a needed column."""
    import fsspec
    import pyarrow as pa
    from botocore.exceptions import BotoCoreError

    readers = {"csv": _csv, "tsv": _tsv, "jsonl": _jsonl, "parquet": _parquet}
    try:
        with fsspec.open(uri, "rb") as file:
            yield from readers[format](file, uri, list(needed))
    except (OSError, csv.Error, pa.ArrowInvalid, BotoCoreError) as error:
        raise SourceError(f"{uri} cannot be read as {format}: {error}") from error


def _need(have: Iterable[str], needed: list[str], uri: str) -> None:
    have = list(have)
    if missing := [name for name in needed if name not in have]:
        if any("\udc80" <= character <= "\udcff" for name in have for character in name):
            raise SourceError(f"{uri} is no UTF-8 text: its first line holds other bytes, and no column {missing[0]!r}")
        shown = ", ".join(repr(name[:40]) for name in have[:10]) + ", …" * (len(have) > 10)
        raise SourceError(f"{uri} has no column {missing[0]!r}: it has {shown or 'none'}")


def _csv(file: IO[bytes], uri: str, needed: list[str], delimiter: str = ",") -> Iterator[Row]:
    # bytes that are not UTF-8 pass through as surrogates, so that one bad record is set aside and not the whole file
    import io

    start = file.read(SNIFF)
    file.seek(0)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{uri} is UTF-16 text: save it as UTF-8")
    if b"\x00" in start.partition(b"\n")[0]:  # what stands below the header is set aside row by row
        raise SourceError(f"{uri} is no text: it holds a zero byte at position {start.index(0)}, as pictures and archives do")
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text, delimiter=delimiter)
    if ours := set(PREDICTED) <= set(reader.fieldnames or ()):
        reader.fieldnames = [as_written(name) for name in reader.fieldnames or ()]
    _need(reader.fieldnames or [], needed, uri)
    for row in reader:
        if None in row or None in row.values():
            count = sum(v is not None for k, v in row.items() if k is not None) + len(row.get(None) or ())
            yield BadRecord(
                "", f"{count} fields where the header has {len(reader.fieldnames or [])}", str(next(iter(row.values())))[:200]
            )
        else:
            yield {name: as_written(cell) for name, cell in row.items()} if ours else dict(row)


def _tsv(file: IO[bytes], uri: str, needed: list[str]) -> Iterator[Row]:
    return _csv(file, uri, needed, delimiter="\t")


def _jsonl(file: IO[bytes], uri: str, needed: list[str]) -> Iterator[Row]:
    for line in file:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # broken JSON, or bytes that are no text
            yield BadRecord("", f"not a line of JSON: {error}", line[:200].decode("utf-8", "replace"))
            continue
        missing = [name for name in needed if name not in row] if isinstance(row, dict) else needed
        yield BadRecord("", f"no field {missing[0]!r}", line[:200].decode("utf-8", "replace")) if missing else row


def _parquet(file: IO[bytes], uri: str, needed: list[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    _need(table.schema_arrow.names, needed, uri)
    for batch in table.iter_batches(batch_size=BATCH, columns=needed):
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):  # nobody checked that it is UTF-8
                values = column.cast(pa.large_binary()).to_pylist()
                columns[name] = [None if v is None else v.decode("utf-8", "surrogateescape") for v in values]
            else:
                columns[name] = column.to_pylist()
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))
