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


class TableFile:
    """A .csv, .tsv, .parquet or .jsonl file, used as `with TableFile(path, added) as file: file.add(rows)`.

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
            self._file.writelines(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n" for row in rows)
        elif self._ending == ".parquet":
            self._add_parquet(rows)
        else:
            text = io.StringIO(newline="")
            tab = "\t" if self._ending == ".tsv" else ","
            writer = csv.DictWriter(text, self._columns, restval="", extrasaction="ignore", delimiter=tab)
            if first:
                writer.writeheader()
            writer.writerows(rows)
            self._file.write(text.getvalue().encode("utf-8", "surrogateescape"))

    def _add_parquet(self, rows: Sequence[dict[str, Any]]) -> None:
        import pyarrow.parquet as pq

        if self._parquet is None:
            guessed = pa.Table.from_pylist([{c: row.get(c) for c in self._columns} for row in rows]).schema
            fields = [self._added.field(f.name) if f.name in self._added.names else f for f in guessed]
            self._parquet = pq.ParquetWriter(self._file, pa.schema(fields))
        self._parquet.write_table(pa.Table.from_pylist(list(rows), schema=self._parquet.schema))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._parquet is not None:
            self._parquet.close()
        self._file.close()
        if kind is None:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)
