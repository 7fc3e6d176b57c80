"""Reads and writes an example's pictures or sounds as Parquet files, one row per sample with its content."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


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

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    schema = pa.schema([("content", pa.large_binary()), ("label", pa.string()), ("group", pa.string())])
    pq.write_table(pa.Table.from_pylist([asdict(sample) for sample in samples], schema=schema), part)
    os.replace(part, path)


def read(path: Path) -> list[Sample]:
    """Read the samples of a Parquet file."""
    import pyarrow.parquet as pq

    return [Sample(**row) for row in pq.read_table(path).to_pylist()]
