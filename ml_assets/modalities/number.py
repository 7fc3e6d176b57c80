"""The modality `number`: a count, a share, a price, as a part of mixed samples."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.modalities.base import File, Scalar, Undecodable, excerpt

SCALES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Frequencies of the waves in a number's vector: slow ones distinguish thousands, fast ones tenths."""
LARGEST = 1e15
"""Maximum absolute value: larger numbers cannot be distinguished from their neighbours."""


class Number(Scalar):
    """Any finite number up to 1e15. An item is its shortest text as a decimal fraction, such as `3.0`."""

    name_in_yaml: ClassVar[str] = "number"
    dimensions: ClassVar[int] = 2 * len(SCALES)

    def from_json(self, content: Any) -> str:
        """The item for a number, or for text that is one. Raises `Undecodable`."""
        try:
            found = float(content) if not isinstance(content, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not abs(found) <= LARGEST:
            raise Undecodable(f"not a number between -1e15 and 1e15: {excerpt(content)}")
        return repr(found + 0.0)  # turns -0.0 into 0.0

    def to_json(self, item: str) -> float:
        """The number as a float."""
        return float(item)

    def json_type(self) -> Any:
        """The type `float`."""
        return float

    def describe(self, items: Sequence[str]) -> pa.Table:
        """A table with the column `number`, the number itself."""
        return pa.table({"number": pa.array([float(item) for item in items], pa.float64())})

    def vectors(self, items: Sequence[str]) -> NDArray[np.float64]:
        """`(n, 12)` sine and cosine, at the frequencies `SCALES`, of the inverse hyperbolic sine, which is about the log."""
        angles = np.arcsinh(np.array([float(item) for item in items]))[:, None] * np.array(SCALES)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def show(self, item: str, limit: int = 0) -> str:
        """The number with thousands separators."""
        return f"{float(item):,.15g}"

    def label_studio_part(self, item: str, file: File) -> str:
        """The number with thousands separators."""
        return self.show(item)

    def examples(self) -> Sequence[str | bytes]:
        """A price, a share, a large number, minus zero and a negative number, for tests."""
        return ["12.50", b"0.25", "1e6", "-0.0", "-300"]
