"""Computes and stores embeddings: one vector per sample and encoder, computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import Missing
from ml_assets.modalities import Encoder, Modality
from ml_assets.state.progress import report
from ml_assets.store import ProjectStore, Table

BATCH = 512
TAKEN = 8192
"""Number of vectors that are copied from another project at a time."""
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError)
"""Exceptions that reading a damaged table raises."""


@dataclass(frozen=True)
class Embedded:
    """The result of embedding all samples.

    Args:
        digest: Digest of the ids of the embedded samples, for each encoder.
        vectors: Number of stored vectors.
        new: Number of vectors that this call added.
    """

    digest: str
    vectors: int
    new: int


def table_of(store: ProjectStore, encoder: Encoder) -> Table:
    """The table that stores the vectors of an encoder."""
    return store.embeddings(encoder.name, encoder.dimensions)


def embed_with_each(store: ProjectStore, modality: Modality, encoders: Sequence[str], log: Callable[[str], None]) -> Embedded:
    """Store a vector of every named encoder for each sample; `log` is called with a line for each batch."""
    digests, vectors, new = [], 0, 0
    for name in encoders:
        encoder = modality.encoder(name)
        new += embed_new(store, modality, encoder, partial(_log_progress, log, name))
        table = table_of(store, encoder)
        digests.append(table.digest(["id"]))
        vectors += table.count()
    return Embedded("-".join(digests), vectors, new)


def _log_progress(log: Callable[[str], None], encoder: str, done: int, total: int) -> None:
    log(f"embedded {done} of {total} samples with {encoder}")
    report("samples embedded", done, total)


def embed_new(store: ProjectStore, modality: Modality, encoder: Encoder, progress: Callable[[int, int], None]) -> int:
    """Store a vector for each sample that has none; return how many were added. Each batch is stored at once.

    Vectors that another project computed with the same encoder are copied from there.
    """
    table, encoder = table_of(store, encoder), encoder.whole()
    samples, known = store.table("samples"), table.ids()
    new = samples.ids() - known
    taken = _take_over(store, encoder, new) if encoder.lasting else set()
    missing = sorted(new - taken)
    texts: dict[str, str] = {}
    if modality.column == "text":
        # sorting by length saves padding; the order depends on the samples alone, so batches are reproducible
        found = samples.take(missing, ["id", "text"]).to_pydict()
        texts = dict(zip(found["id"], found["text"], strict=True))
        missing.sort(key=lambda i: (len(texts[i]), i))
    for start in range(0, len(missing), BATCH):
        ids = missing[start : start + BATCH]
        # pictures and sounds are loaded per batch, as all of them would not fit into memory
        items = [texts[i] for i in ids] if texts else samples.take(ids, [modality.column])[modality.column].to_pylist()
        table.insert(as_rows(ids, encoder.encode(items)))
        progress(len(taken) + start + len(ids), len(new))
    return len(new)


def _take_over(store: ProjectStore, encoder: Encoder, missing: set[str]) -> set[str]:
    """Copy vectors of these samples from other projects; return the ids of the samples that were found.

    A sample's id is the hash of its content, so of other projects only vectors of content that is here too are read.
    """
    table, found = table_of(store, encoder), set[str]()
    for other in store.others() if missing else []:
        theirs, wanted = table_of(other, encoder), missing - found
        for ids in _parts(wanted if len(wanted) <= TAKEN else _held(theirs, wanted)):
            try:
                rows = theirs.take(ids, ["id", "vector"])
            except UNREADABLE:  # the other project's own run reports its damaged table
                break
            if rows.schema.field("vector").type != table.schema.field("vector").type:
                break
            table.insert(rows)
            found.update(rows["id"].to_pylist())
    return found


def _held(table: Table, ids: set[str]) -> set[str]:
    """The ids among `ids` that the table holds; none if it cannot be read."""
    try:
        return ids & table.ids()
    except UNREADABLE:
        return set()


def _parts(ids: set[str]) -> list[list[str]]:
    listed = sorted(ids)
    return [listed[i : i + TAKEN] for i in range(0, len(listed), TAKEN)]


def as_rows(ids: Sequence[str], vectors: NDArray[np.float32]) -> pa.Table:
    """Rows of an embedding table from `n` ids and `(n, d)` vectors."""
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
    """The column `vector` of rows of an embedding table as `(n, d) float32`."""
    column = rows["vector"].combine_chunks()
    return np.array(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(rows.num_rows, column.type.list_size)
