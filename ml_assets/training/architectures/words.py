"""How word pieces join to words, and what is read of a word's spelling."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEEN = 14
"""Characters that are read of a word, with one on each side: of a longer one the first and the last."""
CODES = 1024
"""Characters that are told apart, by the lowest bits of their code points."""
KINDS = ("Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S", "Z", "C")
"""Categories of characters that are told apart, from 1."""


def characters_of(text: str, start: int, end: int) -> str:
    """The word and the character on each side, a space at the ends of the text; of a long one the first and the last."""
    around = f"{text[start - 1] if start else ' '}{text[start:end]}{text[end] if end < len(text) else ' '}"
    return around if len(around) <= SEEN else around[: SEEN // 2] + around[-SEEN // 2 :]


@lru_cache(maxsize=1 << 16)
def code(character: str) -> int:
    """The character's category and the lowest bits of its code point, never 0."""
    category = unicodedata.category(character)
    kind = KINDS.index(category if category in KINDS else category[0]) + 1
    return kind * CODES + ord(character) % (CODES - 1) + 1


def word_beginnings(text: str, offsets: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each word piece begins a word: behind white space, beside punctuation, and in scripts that set no spaces.

    Letters without case (`Lo`: Chinese, kana, Thai, but also Arabic) are such scripts: each of their pieces counts as a word.
    """
    found, last = [], -1
    for start, end in offsets:
        if start == end:
            found.append(False)
            continue
        found.append(start != last or _apart(text[start]) or _apart(text[last - 1]))
        last = end
    return found


def with_marks(text: str, end: int) -> int:
    """The end behind the combining marks that follow: tokenizers that drop accents leave them outside."""
    while end < len(text) and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end


def _apart(character: str) -> bool:
    """Whether a word may begin or end beside the character: it is no letter with case, no digit and no combining mark."""
    category = unicodedata.category(character)
    return category == "Lo" or category[0] in "PSZC"


def word_ends(pieces: NDArray[Any], words: NDArray[np.int64]) -> NDArray[Any]:
    """`(w,)` where each word ends: the end of its last piece."""
    return np.maximum.reduceat(pieces[:, 2], words)


def runs(labels: NDArray[np.int64], starts: NDArray[Any], ends: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Start, end and class of each run of words."""
    found: list[tuple[int, int, int]] = []
    before = 0
    for label, start, end in zip(labels.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if label:
            inside = label % 2 == 0 and (before + 1) // 2 == label // 2
            found.append((found.pop()[0] if inside else start, end, (label - 1) // 2))
        before = label
    return found
