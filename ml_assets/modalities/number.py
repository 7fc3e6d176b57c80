"""Number: a count, a share, a price, as a part of mixed samples."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.modalities.base import File, Scalar, Undecodable, excerpt

SCALES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the waves by which a number is told apart from others: the slow ones part thousands, the quick ones tenths."""
LARGEST = 1e15
"""Numbers beyond cannot be told from their neighbours."""


class Number(Scalar):
    """Any finite number up to 1e15. An item is its shortest text as a decimal fraction, such as `3.0`."""

    name_in_yaml: ClassVar[str] = "number"
    dimensions: ClassVar[int] = 2 * len(SCALES)

    def from_json(self, content: Any) -> str:
        """The item of a number, or of text that is one."""
        try:
            found = float(content) if not isinstance(content, bool) else math.nan
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not abs(found) <= LARGEST:
            raise Undecodable(f"not a number between -1e15 and 1e15: {excerpt(content)}")
        return repr(found + 0.0)  # no minus zero

    def to_json(self, item: str) -> float:
        """The number."""
        return float(item)

    def json_type(self) -> Any:
        """A number, with or without a fraction."""
        return float

    def describe(self, items: Sequence[str]) -> pa.Table:
        """`number`, the number itself."""
        return pa.table({"number": pa.array([float(item) for item in items], pa.float64())})

    def vectors(self, items: Sequence[str]) -> NDArray[np.float64]:
        """Sine and cosine of the inverse hyperbolic sine, which is about the logarithm, at `SCALES`."""
        angles = np.arcsinh(np.array([float(item) for item in items]))[:, None] * np.array(SCALES)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def show(self, item: str, limit: int = 0) -> str:
        """The number with separators of thousands."""
        return f"{float(item):,.15g}"

    def label_studio_part(self, item: str, file: File) -> str:
        """The number with separators of thousands."""
        return self.show(item)

    def examples(self) -> Sequence[str | bytes]:
        """A price, a share, a count, nothing, a debt."""
        return ["12.50", b"0.25", "1e6", "-0.0", "-300"]
