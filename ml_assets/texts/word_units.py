"""Splits texts into the units that span networks read: how word pieces form words, and the characters of words."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.texts.words import borders_without_spaces

UNIT_COLUMNS = 4
"""Number of columns of a unit, before those with its characters."""
CONTINUED = -2
"""Value instead of a word piece's position for a further letter of the same piece that is a unit of its own."""
SEEN = 14
"""Number of characters that are read of a word, with one on each side; of a longer word the first and the last ones."""
CODES = 1024
"""Number of different codes of characters within a category, from the lowest bits of their code points."""
KINDS = ("Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S", "Z", "C")
"""Unicode categories of characters that have different codes, numbered from 1."""


def characters_of(text: str, start: int, end: int) -> str:
    """The characters of a word with one more on each side (a space at the text's ends); of a long word the first and last."""
    around = f"{text[start - 1] if start else ' '}{text[start:end]}{text[end] if end < len(text) else ' '}"
    return around if len(around) <= SEEN else around[: SEEN // 2] + around[-SEEN // 2 :]


@lru_cache(maxsize=1 << 16)
def code(character: str) -> int:
    """The code of a character, from its category and the lowest bits of its code point; never 0."""
    category = unicodedata.category(character)
    kind = KINDS.index(category if category in KINDS else category[0]) + 1
    return kind * CODES + ord(character) % (CODES - 1) + 1


def units_of(text: str, offsets: Sequence[tuple[int, int]], most: int) -> NDArray[np.int32]:
    """The units of a text as `(u, 4) int32`: word piece (position or `CONTINUED`), first character, end, begins a word.

    A unit is a word piece. In scripts without spaces, pieces of several letters (those that the encoder does not know) are cut
    at each letter, so that spans may begin and end within them. There are at most `most` units.
    """
    found: list[tuple[int, int, int]] = []
    for piece, (start, stop) in enumerate(offsets):
        end = with_marks(text, stop) if stop > start else stop
        cuts = borders_without_spaces(text, start, end) if end > start + 1 else []
        for i, pair in enumerate(pairwise([start, *cuts, end])):
            found.append((CONTINUED if i else piece, *pair))
        if len(found) >= most:
            break
    units = np.zeros((min(len(found), most), 4), np.int32)
    units[:, :3] = np.array(found, np.int32).reshape(-1, 3)[:most]
    units[:, 3] = word_beginnings(text, units[:, 1:3].tolist())
    return units


def word_beginnings(text: str, offsets: Sequence[Sequence[int]]) -> list[bool]:
    """Whether each unit begins a word: after white space, next to punctuation, and between letters without case.

    Letters without case (`Lo`) are those of scripts without spaces, but also hangul, Arabic and Devanagari letters, where spans
    often end before an ending: each of their pieces counts as a word. A further piece of the same letter begins none.
    """
    found, last = [], -1
    for start, end in offsets:
        if start == end:
            found.append(False)
            continue
        found.append(start > last or (start == last and (_apart(text[start]) or _apart(text[last - 1]))))
        last = max(last, end)
    return found


def with_marks(text: str, end: int) -> int:
    """Move the end of a piece past the combining marks that follow, which tokenizers that drop accents leave out."""
    while end < len(text) and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end


def _apart(character: str) -> bool:
    """Whether a word may begin or end next to the character: it is no letter with case, digit or combining mark."""
    category = unicodedata.category(character)
    return category == "Lo" or category[0] in "PSZC"


def word_ends(pieces: NDArray[Any], words: NDArray[np.int64]) -> NDArray[Any]:
    """The end of each word, `(w,)`: that of its last unit; `words` are the positions of the units that begin one."""
    return np.maximum.reduceat(pieces[:, 2], words)


def runs(labels: NDArray[np.int64], starts: NDArray[Any], ends: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Join words to spans: start, end and class (from 0) of each.

    The label of a word is 0 outside of spans, `2 * class + 1` at the beginning of one and `2 * class + 2` inside.
    """
    found: list[tuple[int, int, int]] = []
    before = 0
    for label, start, end in zip(labels.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if label:
            inside = label % 2 == 0 and (before + 1) // 2 == label // 2
            found.append((found.pop()[0] if inside else start, end, (label - 1) // 2))
        before = label
    return found
