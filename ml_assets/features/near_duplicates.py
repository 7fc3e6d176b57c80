"""Near duplicates: samples that say nearly the same, such as one post quoted in another, or the frames of one clip.

Two samples are near duplicates if their texts are equal but for case, space and punctuation, or if their stored embeddings are
nearly equal. All pairs are compared, exactly: the vectors are turned so that their first coordinates hold most of what tells
them apart, and only pairs that lie close in these are compared in full. 100,000 vectors of 384 take 13 seconds of one core.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.features.embeddings import as_vectors, table_of
from ml_assets.modalities import Encoder, Modality, Text
from ml_assets.store import ProjectStore

CLOSE = (0.98, 0.99, 0.995, 0.999, 0.9999)
"""Cosine from which on vectors are nearly equal: the first at which they still tell most samples apart."""
AT_MOST = 100_000
"""Samples whose vectors are compared; of more, the first ones by id, which is a random choice. Texts are compared always."""
LOOKED_AT = 2000
"""Samples by which `how_close` judges."""
CROWD = 0.2
"""A group with a larger share of the samples, and more than ten, is no set of near duplicates."""
SKETCH = 64
ROWS, COLUMNS, PAIRS = 2048, 8192, 50_000
Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Contents:
    """What near duplicates are told by.

    Args:
        vectors: `(n, d) float32`; 0 of samples that have none, or are not looked at.
        texts: The `n` texts, folded; empty where samples are no texts.
    """

    vectors: Float
    texts: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.vectors)


def contents(store: ProjectStore, modality: Modality, encoder: Encoder, ids: Sequence[str]) -> Contents:
    """The contents of these samples, in their order."""
    found = table_of(store, encoder).take(sorted(ids)[:AT_MOST], ["id", "vector"])
    vectors = np.zeros((len(ids), encoder.dimensions), np.float32)
    place = {sample: i for i, sample in enumerate(ids)}
    if found.num_rows:
        vectors[[place[sample] for sample in found["id"].to_pylist()]] = as_vectors(found)
    if not isinstance(modality, Text):
        return Contents(vectors)
    known = store.table("samples").take(ids, ["id", "text"]).to_pydict()
    texts = dict(zip(known["id"], known["text"], strict=True))
    return Contents(vectors, [folded(texts.get(sample) or sample) for sample in ids])


def folded(text: str) -> str:
    """The text without case, space and punctuation; as it is if nothing else is left."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_dropped()) or text


@lru_cache(maxsize=1)
def _dropped() -> dict[int, None]:
    return {c: None for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in DROPPED}


DROPPED = {"Cc", "Cf", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Zl", "Zp", "Zs"}
"""Unicode's categories of space, punctuation and marks that are not seen. Vowel signs and symbols stay."""


def how_close(vectors: Float, classes: Sequence[Any]) -> float:
    """The cosine from which on these samples are near duplicates.

    Some encoders put all samples, or all of one class, close together. Then it is higher, so that no group holds a large part
    of all samples or a whole class.

    Args:
        vectors: `(n, d)`.
        classes: A class of each sample.
    """
    some, kinds = vectors[:LOOKED_AT], np.unique(list(map(str, classes))[:LOOKED_AT], return_inverse=True)[1]
    for close in CLOSE[:-1]:
        found = _grouped(some, close, np.arange(len(some)))
        largest = np.bincount(found).max(initial=0)
        whole = [len(set(found[kinds == kind])) < 3 for kind in set(kinds) if (kinds == kind).sum() > 10]
        if largest <= max(10, CROWD * len(some)) and not any(whole):
            return close
    return CLOSE[-1]


def groups(found: Contents, classes: Sequence[Any]) -> Int:
    """`(n,)` numbers, equal for samples that are near duplicates, or linked by others that are."""
    first: dict[str, int] = {}
    labels = np.array([first.setdefault(text, i) for i, text in enumerate(found.texts)] or np.arange(len(found)), np.int64)
    return _grouped(found.vectors, how_close(found.vectors, classes), labels)


def across(test: Contents, train: Contents, close: float) -> dict[int, int]:
    """Position of a near duplicate in `train` for each position in `test` that has one."""
    known = {text: i for i, text in enumerate(train.texts)}
    found = {i: known[text] for i, text in enumerate(test.texts) if text in known}
    seen = np.zeros(len(test), bool)
    seen[list(found)] = True
    for i, j in _pairs(test.vectors, train.vectors, close, lambda i, j: ~seen[i]):
        seen[i] = True
        found.update(zip(i.tolist(), j.tolist(), strict=True))
    return found


def _grouped(vectors: Float, close: float, labels: Int) -> Int:
    """The labels, made one where vectors are close."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, labels = len(labels), labels.copy()
    for i, j in _pairs(vectors, None, close, lambda i, j: labels[i] != labels[j]):
        links = coo_array((np.ones(len(i), bool), (labels[i], labels[j])), (n, n))
        labels[:] = connected_components(links, directed=False)[1][labels]
    return labels


def _pairs(
    a: Float, b: Float | None, close: float, wanted: Callable[[Int, Int], NDArray[np.bool_]]
) -> Iterator[tuple[Int, Int]]:
    """Positions in `a` and `b` of vectors whose cosine is `close` or above; without `b` each pair in `a` once.

    `wanted` is asked which pairs are still of interest, after what was done with those before.
    """
    others = a if b is None else b
    left, right = (np.flatnonzero(np.any(each, axis=1)) for each in (a, others))
    if not len(left) or not len(right):
        return
    spread = others[right] - others[right].mean(0)
    turn = np.linalg.eigh(spread.T @ spread)[1][:, ::-1]
    (x, left), (y, right) = (_turned(each, index, turn) for each, index in ((a, left), (others, right)))
    reach = np.sqrt(2 * (1 - close)) + 1e-4  # unit vectors of this cosine are so far apart, and in one coordinate not farther
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        low, high = np.searchsorted(y[:, 0], [rows[0, 0] - reach, rows[-1, 0] + reach])
        for begin in range(max(low, start) if b is None else low, high, COLUMNS):
            columns = y[begin : min(begin + COLUMNS, high)]
            i, j = np.nonzero(_nearness(rows, columns) >= close - 1 - 1e-5)
            for at in range(0, len(i), PAIRS):
                some, other = i[at : at + PAIRS], j[at : at + PAIRS]
                keep = wanted(left[start + some], right[begin + other])
                if b is None:
                    keep &= start + some < begin + other
                some, other = some[keep], other[keep]
                keep = np.einsum("nd,nd->n", rows[some], columns[other]) >= close - 1e-6
                if keep.any():
                    yield left[start + some[keep]], right[begin + other[keep]]


def _turned(vectors: Float, index: Int, turn: Float) -> tuple[Float, Int]:
    """The vectors at these positions, of unit length, turned and sorted by their first coordinate; and their positions."""
    found = vectors[index]
    found = (found / np.linalg.norm(found, axis=1, keepdims=True)) @ turn
    order = np.argsort(found[:, 0], kind="stable")
    return found[order], index[order]


def _nearness(rows: Float, columns: Float) -> Float:
    """Minus half the squared distance in the first coordinates: at least the cosine - 1."""
    x, y = rows[:, :SKETCH], columns[:, :SKETCH]
    one, other = np.ones((len(x), 1), np.float32), np.ones((len(y), 1), np.float32)
    half = -0.5 * np.square(x).sum(1, keepdims=True), -0.5 * np.square(y).sum(1, keepdims=True)
    return np.asarray(np.hstack([x, half[0], one]) @ np.hstack([y, other, half[1]]).T, np.float32)
