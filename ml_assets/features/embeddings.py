"""Embeddings: one vector per sample and encoder, computed once."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import Missing
from ml_assets.modalities import Encoder, Modality
from ml_assets.store import ProjectStore, Table

BATCH = 512


def table_of(store: ProjectStore, encoder: Encoder) -> Table:
    """The table of this encoder's vectors."""
    return store.embeddings(encoder.name, encoder.dimensions)


def embed_new(store: ProjectStore, modality: Modality, encoder: Encoder, progress: Callable[[int, int], None]) -> int:
    """Embed the samples that have no vector yet; return how many. A batch is stored as soon as it is there."""
    table, encoder = table_of(store, encoder), encoder.whole()
    samples, known = store.table("samples"), table.ids()
    missing = sorted(samples.ids() - known)
    texts: dict[str, str] = {}
    if modality.column == "text":
        # batches of equal lengths waste no padding; an order that follows from the samples alone gives the same batches again
        found = samples.take(missing, ["id", "text"]).to_pydict()
        texts = dict(zip(found["id"], found["text"], strict=True))
        missing.sort(key=lambda i: (len(texts[i]), i))
    for start in range(0, len(missing), BATCH):
        ids = missing[start : start + BATCH]
        # pictures and sounds are too large to be in memory all at once
        items = [texts[i] for i in ids] if texts else samples.take(ids, [modality.column])[modality.column].to_pylist()
        table.insert(as_rows(ids, encoder.encode(items)))
        progress(start + len(ids), len(missing))
    return len(missing)


def as_rows(ids: Sequence[str], vectors: NDArray[np.float32]) -> pa.Table:
    """Rows of an embedding table from `(n, d)` vectors."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), pa.float32())
    return pa.table({"id": pa.array(ids, pa.string()), "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})


def vectors_of(table: Table, ids: Sequence[str]) -> NDArray[np.float32]:
    """`(n, d) float32` vectors in the order of `ids`. Raises `LookupError` if one is missing."""
    if not ids:
        return np.zeros((0, table.schema.field("vector").type.list_size), np.float32)
    found = table.take(ids, ["id", "vector"])
    if found.num_rows != len(ids):
        raise Missing(f"{len(ids) - found.num_rows} of {len(ids)} samples have no embedding yet: run the asset embeddings")
    return as_vectors(found)


def as_vectors(rows: pa.Table) -> NDArray[np.float32]:
    """`(n, d) float32`: the column `vector` of rows of an embedding table."""
    column = rows["vector"].combine_chunks()
    return np.array(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(rows.num_rows, column.type.list_size)
