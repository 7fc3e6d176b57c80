"""Measures how much of a text an encoder's tokenizer does not know."""

import unicodedata
from collections.abc import Sequence


def unknown_letters(text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], unknown: int | None) -> float:
    """Share of the text's letters in unknown word pieces, or in runs of two or more pieces of a single letter each.

    Chinese characters in pieces of their own do not count, as each has a meaning. 0 for a text without letters.

    Args:
        text: The text.
        ids: Ids of its word pieces.
        offsets: Start and end (exclusive) of each piece.
        unknown: Id of the piece for unknown text, if the tokenizer has one.
    """
    lost: set[int] = set()
    row: list[int] = []  # positions of the current run of single-letter pieces
    for piece, (start, end) in zip(ids, offsets, strict=True):
        single = end == start + 1 and piece != unknown and _is_spelt(text[start])
        if not single or (row and start > row[-1] + 1):
            lost.update(row if len(row) > 1 else ())
            row = []
        if single and start not in row[-1:]:  # a letter can have several pieces, one for each byte
            row.append(start)
        if piece == unknown:
            lost.update(range(start, end))
    lost.update(row if len(row) > 1 else ())
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    return sum(place in lost for place in letters) / len(letters) if letters else 0.0


def _is_spelt(character: str) -> bool:
    """Whether the character is a letter or mark of a script whose letters stand for sounds."""
    return unicodedata.category(character)[0] in "LM" and not unicodedata.name(character, "").startswith("CJK")
