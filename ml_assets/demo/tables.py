"""Reads and writes an example's pictures or sounds as Parquet files, one row per sample with its content."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ml_assets.state.files import write_whole


@dataclass(frozen=True)
class Sample:
    """A picture or sound of an example, with its label: one row of a file.

    Args:
        content: The file's bytes.
        label: The published label, as a value of the label task.
        group: Samples of one group share a split.
    """

    content: bytes
    label: str
    group: str | None = None


def write(path: Path, samples: Sequence[Sample]) -> None:
    """Write the samples to a Parquet file, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("content", pa.large_binary()), ("label", pa.string()), ("group", pa.string())])
    pq.write_table(pa.Table.from_pylist([asdict(sample) for sample in samples], schema=schema), made := io.BytesIO())
    write_whole(path, made.getvalue())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write the rows to a CSV file, atomically."""
    made = io.StringIO(newline="")
    writer = csv.writer(made)
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, made.getvalue().encode())


def read(path: Path) -> list[Sample]:
    """Read the samples of a Parquet file."""
    import pyarrow.parquet as pq

    return [Sample(**row) for row in pq.read_table(path).to_pylist()]
