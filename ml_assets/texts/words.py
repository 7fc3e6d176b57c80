"""Splits texts of any script into words: by Unicode's rules, or by letters in scripts without spaces between words."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

SCRIPTS = (
    *("Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Tangut", "Nushu"),
    *("Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Javanese", "Balinese"),
    *("Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet"),
)
"""Scripts without spaces between words; Hangul and Arabic have spaces."""


def words(text: str) -> Iterator[tuple[int, int]]:
    """Iterate over the (start, end) of each word, and of each other character that is not white space.

    Words are those of Unicode Standard Annex #29: `can't` and `3.14` are one. Punctuation marks and symbols stand alone.
    In scripts without spaces each letter with its marks counts as a word, because where words end there takes a dictionary.
    """
    return (match.span() for match in _patterns()[0].finditer(text))


def borders_without_spaces(text: str, start: int, end: int) -> list[int]:
    """The positions, in order, between `start` and `end` at which a letter of a script without spaces begins or ends."""
    found = {place for match in _patterns()[1].finditer(text, start, end) for place in match.span()}
    return sorted(found - {start, end})


@lru_cache(maxsize=1)
def _patterns() -> tuple[Any, Any]:
    """Compile the patterns of words and of letters of scripts without spaces."""
    import regex

    # the extensions of a script hold punctuation as well, and letters that several scripts share, such as the long vowel mark
    scripts = "".join(f"\\p{{scx={name}}}" for name in SCRIPTS)
    letters = rf"[[{scripts}]&&[\p{{L}}\p{{Nl}}]]"
    letter = rf"{letters}\p{{M}}*+"
    return regex.compile(rf"(?V1w){letter}|(?:(?!{letters})\S)+?\b|\S"), regex.compile(f"(?V1){letter}")
