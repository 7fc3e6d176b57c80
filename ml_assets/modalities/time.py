"""The modality `time`: a point in time, as a part of mixed samples."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml_assets.modalities.base import Scalar, Undecodable, excerpt

WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Time(Scalar):
    """A point in time in ISO 8601; without a time zone it is UTC. An item is in UTC, to the second."""

    name_in_yaml: ClassVar[str] = "time"
    dimensions: ClassVar[int] = 12

    def from_json(self, content: Any) -> str:
        """The time in a text, converted to UTC and cut to whole seconds. Raises `Undecodable`."""
        try:
            found = datetime.fromisoformat(content.strip())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (AttributeError, ValueError, OverflowError) as error:
            raise Undecodable(f"not a time such as 2026-01-31T12:00:00Z: {excerpt(content)}") from error
        return found.replace(microsecond=0).isoformat()

    def describe(self, items: Sequence[str]) -> pa.Table:
        """A table with `hour` (0 to 24, UTC) and `weekday`; not the date, whose distribution always shifts."""
        times = [datetime.fromisoformat(item) for item in items]
        return pa.table(
            {
                "hour": pa.array([_hour(time) for time in times], pa.float64()),
                "weekday": pa.array([WEEK[time.weekday()] for time in times], pa.string()),
            }
        )

    def vectors(self, items: Sequence[str]) -> NDArray[np.float64]:
        """`(n, 12)` sine and cosine of the position in day, week and year, each at one and two cycles."""
        times = [datetime.fromisoformat(item) for item in items]
        turns = np.array([[_hour(t) / 24, t.weekday() / 7, t.timetuple().tm_yday / 365.25] for t in times]).reshape(-1, 3)
        angles = 2 * np.pi * np.concatenate([turns, 2 * turns], axis=1)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def examples(self) -> Sequence[str | bytes]:
        """Times in two time zones, and one without, for tests."""
        return ["2026-01-31T12:00:00Z", b"2025-06-01 04:30:00.7+02:00", "2024-02-29"]


def _hour(time: datetime) -> float:
    return time.hour + time.minute / 60 + time.second / 3600
