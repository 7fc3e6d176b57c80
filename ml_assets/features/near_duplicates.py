"""Finds near duplicates: samples with nearly the same content, such as a quoted post or the frames of one clip.

Two samples are near duplicates if their texts are equal apart from case, space and punctuation, or if their stored embeddings
are nearly equal. All pairs are compared exactly: the vectors are rotated so that their first coordinates hold most of the
variance, and only pairs that are close in these are compared in full. 100,000 vectors of 384 take 13 seconds on one core.
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
"""Candidate thresholds of the cosine for near duplicates; the lowest at which most samples still differ is used."""
AT_MOST = 100_000
"""Number of samples whose vectors are compared; of more, the first by id, a random choice. Texts are always compared."""
LOOKED_AT = 2000
"""Number of samples from which `how_close` chooses the threshold."""
CROWD = 0.2
"""Maximum share of the samples in one group of near duplicates; groups of up to ten are always allowed."""
SKETCH = 64
ROWS, COLUMNS, PAIRS = 2048, 8192, 50_000
Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Contents:
    """The vectors and texts of samples by which near duplicates are found.

    Args:
        vectors: `(n, d) float32`; 0 for samples without a vector or beyond `AT_MOST`.
        texts: The `n` folded texts; empty for modalities other than text.
    """

    vectors: Float
    texts: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.vectors)


def contents(store: ProjectStore, modality: Modality, encoder: Encoder, ids: Sequence[str]) -> Contents:
    """The vectors and folded texts of these samples, in the order of `ids`."""
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
    """The text without case, space and punctuation; the text itself if nothing else is left."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_dropped()) or text


@lru_cache(maxsize=1)
def _dropped() -> dict[int, None]:
    return {c: None for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in DROPPED}


DROPPED = {"Cc", "Cf", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Zl", "Zp", "Zs"}
"""Unicode categories of space, punctuation and invisible marks. Vowel signs and symbols are kept."""


def how_close(vectors: Float, classes: Sequence[Any]) -> float:
    """The cosine from which on samples count as near duplicates.

    Some encoders put all samples, or all of one class, close together. Then it is higher, so that no group holds a large part
    of all samples or a whole class.

    Args:
        vectors: `(n, d)` vectors of the samples.
        classes: The class of each sample.
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
    """`(n,)` group numbers, equal for samples that are near duplicates or linked by a chain of them."""
    first: dict[str, int] = {}
    labels = np.array([first.setdefault(text, i) for i, text in enumerate(found.texts)] or np.arange(len(found)), np.int64)
    return _grouped(found.vectors, how_close(found.vectors, classes), labels)


def across(test: Contents, train: Contents, close: float) -> dict[int, int]:
    """For each position in `test` that has a near duplicate in `train`, the position of one there."""
    known = {text: i for i, text in enumerate(train.texts)}
    found = {i: known[text] for i, text in enumerate(test.texts) if text in known}
    seen = np.zeros(len(test), bool)
    seen[list(found)] = True
    for i, j in _pairs(test.vectors, train.vectors, close, lambda i, j: ~seen[i]):
        seen[i] = True
        found.update(zip(i.tolist(), j.tolist(), strict=True))
    return found


def _grouped(vectors: Float, close: float, labels: Int) -> Int:
    """The labels, merged for all pairs of vectors whose cosine is at least `close`."""
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
    """Yield positions in `a` and `b` of vectors with a cosine of at least `close`; without `b` each pair in `a` once.

    `wanted` is called for candidate pairs and returns which of them are still of interest.
    """
    others = a if b is None else b
    left, right = (np.flatnonzero(np.any(each, axis=1)) for each in (a, others))
    if not len(left) or not len(right):
        return
    spread = others[right] - others[right].mean(0)
    turn = np.linalg.eigh(spread.T @ spread)[1][:, ::-1]
    (x, left), (y, right) = (_turned(each, index, turn) for each, index in ((a, left), (others, right)))
    reach = np.sqrt(2 * (1 - close)) + 1e-4  # distance of unit vectors at this cosine, the most in any one coordinate
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
    """The vectors at these positions, normalized, rotated and sorted by their first coordinate; and their positions."""
    found = vectors[index]
    found = (found / np.linalg.norm(found, axis=1, keepdims=True)) @ turn
    order = np.argsort(found[:, 0], kind="stable")
    return found[order], index[order]


def _nearness(rows: Float, columns: Float) -> Float:
    """Minus half the squared distance in the first `SKETCH` coordinates, an upper bound of the cosine - 1."""
    x, y = rows[:, :SKETCH], columns[:, :SKETCH]
    one, other = np.ones((len(x), 1), np.float32), np.ones((len(y), 1), np.float32)
    half = -0.5 * np.square(x).sum(1, keepdims=True), -0.5 * np.square(y).sum(1, keepdims=True)
    return np.asarray(np.hstack([x, half[0], one]) @ np.hstack([y, other, half[1]]).T, np.float32)
