"""Embeddings: one vector per sample and encoder, computed once."""

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
"""Vectors that are taken from another project at a time."""
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError)
"""What reading a damaged table raises."""


@dataclass(frozen=True)
class Embedded:
    """The vectors of all samples.

    Args:
        digest: Follows from which samples have one, encoder by encoder.
        vectors: How many there are.
        new: How many of them were computed now.
    """

    digest: str
    vectors: int
    new: int


def table_of(store: ProjectStore, encoder: Encoder) -> Table:
    """The table of this encoder's vectors."""
    return store.embeddings(encoder.name, encoder.dimensions)


def embed_with_each(store: ProjectStore, modality: Modality, encoders: Sequence[str], tell: Callable[[str], None]) -> Embedded:
    """Give the samples a vector of every encoder of these names; `tell` gets a line for each batch."""
    digests, vectors, new = [], 0, 0
    for name in encoders:
        encoder = modality.encoder(name)
        new += embed_new(store, modality, encoder, partial(_say, tell, name))
        table = table_of(store, encoder)
        digests.append(table.digest(["id"]))
        vectors += table.count()
    return Embedded("-".join(digests), vectors, new)


def _say(tell: Callable[[str], None], encoder: str, done: int, total: int) -> None:
    tell(f"embedded {done} of {total} samples with {encoder}")
    report("samples embedded", done, total)


def embed_new(store: ProjectStore, modality: Modality, encoder: Encoder, progress: Callable[[int, int], None]) -> int:
    """Give the samples a vector that have none yet; return how many. A batch is stored as soon as it is there.

    What another project has embedded with the same encoder is taken from there.
    """
    table, encoder = table_of(store, encoder), encoder.whole()
    samples, known = store.table("samples"), table.ids()
    new = samples.ids() - known
    taken = _take_over(store, encoder, new) if encoder.lasting else set()
    missing = sorted(new - taken)
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
        progress(len(taken) + start + len(ids), len(new))
    return len(new)


def _take_over(store: ProjectStore, encoder: Encoder, missing: set[str]) -> set[str]:
    """Ids of the samples among these whose vectors came from other projects.

    A sample's id is the hash of its content, so that of other projects nothing is read but vectors of content that is here too.
    """
    table, found = table_of(store, encoder), set[str]()
    for other in store.others() if missing else []:
        theirs, wanted = table_of(other, encoder), missing - found
        for ids in _parts(wanted if len(wanted) <= TAKEN else _held(theirs, wanted)):
            try:
                rows = theirs.take(ids, ["id", "vector"])
            except UNREADABLE:  # of another project, whose own run tells it
                break
            if rows.schema.field("vector").type != table.schema.field("vector").type:
                break
            table.insert(rows)
            found.update(rows["id"].to_pylist())
    return found


def _held(table: Table, ids: set[str]) -> set[str]:
    """Those that the table holds; none if it cannot be read."""
    try:
        return ids & table.ids()
    except UNREADABLE:
        return set()


def _parts(ids: set[str]) -> list[list[str]]:
    listed = sorted(ids)
    return [listed[i : i + TAKEN] for i in range(0, len(listed), TAKEN)]


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
