"""Category: one of a few words, such as a source, a language, a product's kind, as a part of mixed samples."""

import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.modalities.base import Scalar, Undecodable, excerpt

BUCKETS = 256
"""Words of a category are told apart by their hash."""
WORD = 200
"""Characters of a category at most."""


class Category(Scalar):
    """One of a few words, of which new ones may come at any time. An item is the word."""

    name_in_yaml: ClassVar[str] = "category"
    dimensions: ClassVar[int] = BUCKETS

    def from_json(self, content: Any) -> str:
        """The word of a text, a whole number or a truth value."""
        if isinstance(content, bool | int):
            content = str(content).lower()
        if not isinstance(content, str) or not content.strip():
            raise Undecodable(f"not a word: {excerpt(content)}")
        if len(found := content.strip()) > WORD:
            raise Undecodable(f"too long for a category: {len(found)} characters, above {WORD}")
        if "\0" in found:  # which Label Studio's tables cannot hold
            raise Undecodable(f"not a word: {excerpt(found)} has a zero character")
        if any("\ud800" <= c <= "\udfff" for c in found):  # bytes that are no UTF-8 come so from a table
            raise Undecodable("not UTF-8 text")
        return found

    def describe(self, items: Sequence[str]) -> pa.Table:
        """`category`, the word itself."""
        return pa.table({"category": pa.array(items, pa.string())})

    def vectors(self, items: Sequence[str]) -> NDArray[np.float32]:
        """1 at the place of the word's hash (Weinberger et al. 2009): words need not be known beforehand."""
        found = np.zeros((len(items), BUCKETS), np.float32)
        found[np.arange(len(items)), [zlib.crc32(item.encode()) % BUCKETS for item in items]] = 1
        return found

    def examples(self) -> Sequence[str | bytes]:
        """Words of some languages, and one with markup."""
        return ["lamp", b" bell ", "Привет", "<b>new</b>"]
