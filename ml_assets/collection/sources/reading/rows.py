"""Reads the rows of tables as dictionaries: CSV, TSV, Parquet, JSON lines, JSON arrays."""

import csv
import json
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal, get_args

from ml_assets.collection.sources.base import BATCH, BadRecord, SourceError, opened
from ml_assets.collection.sources.reading import delimited
from ml_assets.collection.sources.reading.delimited import Row, need

Format = Literal["csv", "tsv", "parquet", "jsonl", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
SAME = {"ndjson": "jsonl", "jsonlines": "jsonl", "pq": "parquet", "tab": "tsv"}
"""Other file endings of the formats."""
MAX_JSON = 512 * 1024 * 1024
"""Maximum size of a JSON array, which is read as a whole, in bytes."""
ARRAY = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*(\{|$)")
"""Matches the beginning of a JSON array of objects."""


def format_of(uri: str, named: str | None = None) -> str:
    """The format of a table: `named` if given, else by the file's ending. Raises `SourceError` if it is unknown."""
    path = uri.partition("?")[0] if uri.startswith(("http://", "https://")) else uri
    name = path.rpartition("/")[2].lower()
    ending = name.removesuffix(f".{name.rpartition('.')[2]}") if _compression(path) else name
    ending = named or SAME.get(found := ending.rpartition(".")[2], found)
    if ending not in FORMATS:
        raise SourceError(f"{uri} has an unknown format: name it with `format`, one of {', '.join(FORMATS)}")
    return ending


def _compression(uri: str) -> str | None:
    from fsspec.utils import infer_compression

    found: str | None = infer_compression(uri.lower())
    return found


def rows_of(uri: str, format: str, needed: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a table as dictionaries. Raises `SourceError` if it cannot be read or lacks a needed column."""
    import pyarrow as pa
    from botocore.exceptions import BotoCoreError

    readers = {"jsonl": _jsonl, "json": _json, "parquet": _parquet}
    try:
        with opened(uri, _compression(uri)) as file:
            if format in delimited.SEPARATORS:
                yield from delimited.rows(file, uri, format, needed)
            else:
                yield from readers[format](file, uri, needed)
    except (OSError, EOFError, csv.Error, zlib.error, lzma.LZMAError, pa.ArrowInvalid, BotoCoreError) as error:
        raise SourceError(f"{uri} cannot be read as {format}: {error}") from error


def _jsonl(file: IO[bytes], uri: str, needed: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(file):
        if not line.strip():
            continue
        if number == 0 and ARRAY.match(line):
            raise SourceError(f"{uri} holds a JSON array where each line is an object: call it .json, or say `format: json`")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # invalid JSON or invalid UTF-8
            yield BadRecord("", f"not a line of JSON: {error}", line[:200].decode("utf-8", "replace"))
            continue
        yield _object(row, line, needed)


def _json(file: IO[bytes], uri: str, needed: Sequence[str]) -> Iterator[Row]:
    content = file.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise SourceError(f"{uri} is larger than {MAX_JSON // 2**20} MiB: save it as JSON lines, an object in each line")
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b"\n" in content.strip():
            yield from _jsonl(iter(content.splitlines()), uri, needed)  # type: ignore[arg-type]
            return
        raise SourceError(f"{uri} is no JSON: {error}") from error
    if isinstance(rows, dict):  # one line of JSON lines, or an array in an object
        inside = [name for name, value in rows.items() if isinstance(value, list)]
        if inside and not set(needed) <= set(rows):
            raise SourceError(f"{uri} holds one object: save the array in its field {inside[0][:40]!r} as a file of its own")
        rows = [rows]
    if not isinstance(rows, list):
        raise SourceError(f"{uri} holds a {type(rows).__name__} where an array of objects is needed")
    for row in rows:
        yield _object(row, json.dumps(row)[:200].encode(), needed)


def _object(row: Any, line: bytes, needed: Sequence[str]) -> Row:
    missing = [name for name in needed if name not in row] if isinstance(row, dict) else needed
    return BadRecord("", f"no field {missing[0]!r}", line[:200].decode("utf-8", "replace")) if missing else row


def _parquet(file: IO[bytes], uri: str, needed: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    need(table.schema_arrow.names, needed, uri)
    for batch in table.iter_batches(batch_size=BATCH, columns=list(needed)):
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):  # Parquet strings may be invalid UTF-8
                values = column.cast(pa.large_binary()).to_pylist()
                columns[name] = [None if v is None else v.decode("utf-8", "surrogateescape") for v in values]
            else:
                columns[name] = column.to_pylist()
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))
