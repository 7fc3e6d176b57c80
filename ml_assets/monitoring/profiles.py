"""Profiles: compact summaries of how the values of many rows are distributed; the only module that uses whylogs.

A profile travels as `bytes` (a serialised whylogs `DatasetProfileView`, which whylogs' own reader reads); profiles of parts
merge into the profile of the whole.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.errors import InvalidValue


@dataclass(frozen=True)
class Profile:
    """A deserialized profile: one distribution per column, of numbers or of categories.

    Args:
        view: The whylogs `DatasetProfileView`.
    """

    view: Any

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns, sorted."""
        return sorted(self.view.get_columns())

    @property
    def rows(self) -> int:
        """Number of rows that were profiled."""
        return max((self._count(name) for name in self.columns), default=0)

    def is_number(self, column: str) -> bool:
        """Whether the column holds numbers (True) or categories (False)."""
        distribution = self._column(column).get_metric("distribution")
        return distribution is not None and not distribution.kll.value.is_empty()

    def count(self, column: str) -> int:
        """Number of values of the column that are not missing."""
        return int(self._sketch(column).get_n()) if self.is_number(column) else sum(self.categories(column).values())

    def categories(self, column: str) -> dict[str, int]:
        """Count of each category, the most frequent first; exact below about 700 categories, an estimate above."""
        found = self._column(column).get_metric("frequent_items")  # whylogs has none for columns of floats
        return {} if found is None else {str(item.value): int(item.est) for item in found.strings}

    def range(self, column: str, tail: float = 0.0) -> tuple[float, float]:
        """The smallest and largest number of the column, after leaving out the share `tail` of the rows at either end."""
        low, high = self._sketch(column).get_quantiles([tail, 1.0 - tail])
        return float(low), float(high)

    def shares(self, column: str, edges: Sequence[float]) -> NDArray[np.float64]:
        """`(len(edges) - 1,)` share of the column's numbers in each bin; the last bin includes its upper edge."""
        edges = [*edges[:-1], float(np.nextafter(edges[-1], np.inf))]
        return np.asarray(self._sketch(column).get_pmf(edges), dtype=np.float64)[1:-1]

    def ks_distance(self, other: "Profile", column: str) -> float | None:
        """Kolmogorov-Smirnov distance between the column's numbers in this and in the other profile, computed by whylogs.

        0 for equal distributions, 1 for distributions that do not overlap, None where one of them holds no numbers.
        """
        from whylogs.viz.drift.column_drift_algorithms import KS

        score = KS().calculate(self._column(column), other._column(column))
        return None if score is None else float(score.statistic)

    def _column(self, name: str) -> Any:
        column = self.view.get_column(name)
        if column is None:
            raise KeyError(f"the profile has no column {name!r}: it has {', '.join(self.columns) or 'none'}")
        return column

    def _sketch(self, name: str) -> Any:
        return self._column(name).get_metric("distribution").kll.value

    def _count(self, name: str) -> int:
        return int(self._column(name).get_metric("counts").n.value)


def profile(columns: pa.Table, at: datetime | None = None) -> bytes:
    """The serialised profile of a table of numbers and text; `at` is the time that the data belong to."""
    _whylogs()
    from whylogs.core import DatasetProfile

    plain = pa.table(
        {
            name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(columns.column_names, columns.columns, strict=True)
        }
    )
    made = DatasetProfile(dataset_timestamp=at, creation_timestamp=at)
    made.track(pandas=plain.to_pandas())
    return bytes(made.view().serialize())


def read(serialised: bytes) -> Profile:
    """Deserialize a profile."""
    _whylogs()
    from whylogs.core import DatasetProfileView

    return Profile(DatasetProfileView.deserialize(serialised))


def merge(parts: Sequence[bytes]) -> bytes:
    """Merge at least one serialised profile into the profile of all their rows."""
    if not parts:
        raise InvalidValue("no profiles to merge: give at least one")
    if len(parts) == 1:
        return parts[0]
    view = read(parts[0]).view
    for part in parts[1:]:
        view = view.merge(read(part).view)
    return bytes(view.serialize())


QUANTILES = {"minimum": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "maximum": 1.0}


def summary(serialised: bytes, top: int = 5) -> list[dict[str, Any]]:
    """One row per column: `column`, `count`, and `mean` with quantiles (numbers) or `top` values with counts (categories)."""
    made, rows = read(serialised), []
    for name in made.columns:
        row: dict[str, Any] = {"column": name, "count": made.count(name)}
        if made.is_number(name):
            row["mean"] = float(made._column(name).get_metric("distribution").mean.value)
            row |= dict(zip(QUANTILES, made._sketch(name).get_quantiles(list(QUANTILES.values())), strict=True))
        else:
            row["top"] = dict(list(made.categories(name).items())[:top])
        rows.append(row)
    return rows


def _whylogs() -> None:
    """Make whylogs importable: it uses a name that numpy 2 removed, and sends usage statistics unless told not to."""
    os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "True")
    if not hasattr(np, "unicode_"):
        np.unicode_ = np.str_  # type: ignore[attr-defined]
