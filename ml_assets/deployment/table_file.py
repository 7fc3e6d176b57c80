"""Writes a table batch by batch to a file that appears under its name only when it is complete."""

import csv
import io
import json
import os
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa

from ml_assets.texts.cells import harmless

EXACT = 2**53
"""Largest integer up to which all integers are exact as floats."""
UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""Exceptions that Arrow raises for values that cannot form a column."""


class TableFile:
    """A context manager that writes a .csv, .tsv, .parquet or .jsonl file: `with TableFile(path, added) as f: f.add(rows)`.

    Which columns there are, and of which types, is known when all rows are: a column may begin late, be empty for long, or hold
    whole numbers up to the first fraction. Until then the rows wait in a file without a name. A column whose values have no
    type in common becomes text.

    In .csv and .tsv an apostrophe stands before text that a spreadsheet would calculate. Collection takes it away again: it
    knows such a file by the columns of predictions.

    Args:
        path: The file; another of that name is replaced at the end, or stays if the block raises.
        added: Columns whose types are known beforehand, after those of the rows.
    """

    def __init__(self, path: Path, added: pa.Schema):
        self.path, self._added = path, added
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._ending = path.suffix.lower()
        self._types: dict[str, pa.DataType] = {}
        self._large: set[str] = set()

    def __enter__(self) -> "TableFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = self._part.open("wb")
        self._waiting: IO[bytes] = tempfile.TemporaryFile(dir=self.path.parent)
        return self

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows to the table."""
        if self._ending == ".jsonl":
            self._file.writelines(_encoded(json.dumps(row, ensure_ascii=False, default=str)) + b"\n" for row in rows)
            return
        for name in dict.fromkeys(name for row in rows for name in row):
            found = self._type(name, [row.get(name) for row in rows]) if self._ending == ".parquet" else pa.null()
            self._types[name] = self._joined(name, self._types.get(name, found), found)
        pickle.dump(rows, self._waiting, protocol=pickle.HIGHEST_PROTOCOL)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None and self._ending != ".jsonl":
                names = [*(name for name in self._types if name not in self._added.names), *self._added.names]
                self._write_parquet(names) if self._ending == ".parquet" else self._write_text(names)
            self._file.close()
            if kind is None:
                os.replace(self._part, self.path)
        finally:
            self._file.close()
            self._waiting.close()
            self._part.unlink(missing_ok=True)

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        self._waiting.seek(0)
        while True:
            try:
                yield pickle.load(self._waiting)  # noqa: S301 - nobody else could write there
            except EOFError:
                return

    def _write_text(self, names: Sequence[str]) -> None:
        separator = "\t" if self._ending == ".tsv" else ","
        for number, rows in enumerate(self._batches()):
            text = io.StringIO(newline="")
            writer = csv.writer(text, delimiter=separator)
            if number == 0:
                writer.writerow(map(_cell, names))
            writer.writerows([_cell(row.get(name, "")) for name in names] for row in rows)
            self._file.write(_encoded(text.getvalue()))

    def _write_parquet(self, names: Sequence[str]) -> None:
        import pyarrow.parquet as pq

        known = {field.name: field.type for field in self._added}
        schema = pa.schema([(name, known.get(name, self._types.get(name, pa.null()))) for name in names])
        with pq.ParquetWriter(self._file, schema) as writer:
            for rows in self._batches():
                columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
                writer.write_table(pa.table(columns, schema=schema))

    def _type(self, name: str, values: Sequence[Any]) -> pa.DataType:
        """The Arrow type of a column with these values; text if they have no common type."""
        try:
            found = pa.array([_held(value) for value in values]).type
        except UNFIT:
            return pa.string()
        if pa.types.is_integer(found) and any(abs(value) > EXACT for value in values if value is not None):
            self._large.add(name)
        return found

    def _joined(self, name: str, first: pa.DataType, second: pa.DataType) -> pa.DataType:
        """The Arrow type that holds values of both types without loss; text if there is none."""
        if first == second:
            return first
        if pa.types.is_null(first) or pa.types.is_null(second):
            return second if pa.types.is_null(first) else first
        if name in self._large and (pa.types.is_floating(first) or pa.types.is_floating(second)):
            return pa.string()
        one, other = pa.schema([(name, first)]), pa.schema([(name, second)])
        try:
            return pa.unify_schemas([one, other], promote_options="permissive").field(0).type
        except pa.ArrowException:
            return pa.string()


def _column(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    if pa.types.is_string(type):
        return pa.array([None if value is None else _held(_text(value)) for value in values], type)
    return pa.array([_held(value) for value in values], type)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cell(value: Any) -> Any:
    """The value for CSV or TSV, with text that a spreadsheet would take for a formula escaped."""
    return harmless(value) if isinstance(value, str) else value


def _held(value: Any) -> Any:
    """The value, with a question mark for each character of a text that is not valid Unicode."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _encoded(text: str) -> bytes:
    """The text as UTF-8; invalid bytes of the input are restored, unpaired surrogates become question marks."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
