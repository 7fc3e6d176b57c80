"""The modality `category`: one of a few words, such as a language or a kind of product, as a part of mixed samples."""

import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.modalities.base import Scalar, Undecodable, excerpt

BUCKETS = 256
"""Number of hash buckets, and of dimensions of the vectors."""
WORD = 200
"""Maximum number of characters of a category."""


class Category(Scalar):
    """One of a few words, of which new ones may appear at any time. An item is the word."""

    name_in_yaml: ClassVar[str] = "category"
    dimensions: ClassVar[int] = BUCKETS

    def from_json(self, content: Any) -> str:
        """The word from a text, an integer or a boolean. Raises `Undecodable`."""
        if isinstance(content, bool | int):
            content = str(content).lower()
        if not isinstance(content, str) or not content.strip():
            raise Undecodable(f"not a word: {excerpt(content)}")
        if len(found := content.strip()) > WORD:
            raise Undecodable(f"too long for a category: {len(found)} characters, above {WORD}")
        if "\0" in found:  # Label Studio's database cannot store it
            raise Undecodable(f"not a word: {excerpt(found)} has a zero character")
        if any("\ud800" <= c <= "\udfff" for c in found):  # surrogates stand for invalid UTF-8 in tables
            raise Undecodable("not UTF-8 text")
        return found

    def describe(self, items: Sequence[str]) -> pa.Table:
        """A table with the column `category`, the word itself."""
        return pa.table({"category": pa.array(items, pa.string())})

    def vectors(self, items: Sequence[str]) -> NDArray[np.float32]:
        """`(n, 256)` one-hot vectors by the word's hash (Weinberger et al. 2009): words need not be known in advance."""
        found = np.zeros((len(items), BUCKETS), np.float32)
        found[np.arange(len(items)), [zlib.crc32(item.encode()) % BUCKETS for item in items]] = 1
        return found

    def examples(self) -> Sequence[str | bytes]:
        """Words in several languages and one with markup, for tests."""
        return ["lamp", b" bell ", "Привет", "<b>new</b>"]
