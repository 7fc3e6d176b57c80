"""A table that is written batch by batch and appears under its name only when it is complete."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from ml_assets.cells import harmless


class TableFile:
    """A .csv, .tsv, .parquet or .jsonl file, used as `with TableFile(path, added) as file: file.add(rows)`.

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
        self._columns: list[str] = []
        self._parquet: Any = None

    def __enter__(self) -> "TableFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        return self

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows. The first ones fix the columns of a format that has any, and their types."""
        first = not self._columns
        if first:
            names = dict.fromkeys(name for row in rows for name in row)
            self._columns = [*(n for n in names if n not in self._added.names), *self._added.names]
        if self._ending == ".jsonl":
            self._file.writelines(_encoded(json.dumps(row, ensure_ascii=False, default=str)) + b"\n" for row in rows)
        elif self._ending == ".parquet":
            self._add_parquet(rows)
        else:
            text = io.StringIO(newline="")
            tab = "\t" if self._ending == ".tsv" else ","
            writer = csv.writer(text, delimiter=tab)
            if first:
                writer.writerow(map(_cell, self._columns))
            writer.writerows([_cell(row.get(name, "")) for name in self._columns] for row in rows)
            self._file.write(_encoded(text.getvalue()))

    def _add_parquet(self, rows: Sequence[dict[str, Any]]) -> None:
        import pyarrow.parquet as pq

        rows = [{name: _held(value) for name, value in row.items()} for row in rows]
        if self._parquet is None:
            guessed = pa.Table.from_pylist([{c: row.get(c) for c in self._columns} for row in rows]).schema
            fields = [self._added.field(f.name) if f.name in self._added.names else f for f in guessed]
            self._parquet = pq.ParquetWriter(self._file, pa.schema(fields))
        self._parquet.write_table(pa.Table.from_pylist(rows, schema=self._parquet.schema))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._parquet is not None:
            self._parquet.close()
        self._file.close()
        if kind is None:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)


def _cell(value: Any) -> Any:
    """The value for a file that people open in a spreadsheet, which would calculate what looks like a formula."""
    return harmless(value) if isinstance(value, str) else value


def _held(value: Any) -> Any:
    """The value with a question mark for what is no text."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _encoded(text: str) -> bytes:
    """UTF-8; bytes of the input that were none stand there as they were, and halves of surrogate pairs as question marks."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
