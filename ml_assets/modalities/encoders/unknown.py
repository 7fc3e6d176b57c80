"""How much of a text an encoder's tokenizer does not know."""

import unicodedata
from collections.abc import Sequence


def unknown_letters(text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], unknown: int | None) -> float:
    """Share of the text's letters that stand in unknown word pieces, or are spelt: each in a piece alone, two or more in a row.

    Chinese characters are not counted as spelt, as each means something. 0 of a text without letters.

    Args:
        text: The text.
        ids: Its word pieces.
        offsets: First character and the one behind the last of each.
        unknown: The id of the piece that stands for what the tokenizer does not know, if it has one.
    """
    lost: set[int] = set()
    row: list[int] = []  # letters that were spelt just now
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
    """Whether it is a letter or a mark of a script whose letters stand for sounds."""
    return unicodedata.category(character)[0] in "LM" and not unicodedata.name(character, "").startswith("CJK")
