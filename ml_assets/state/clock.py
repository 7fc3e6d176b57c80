"""The current time, and times that are written down."""

from datetime import UTC, datetime
from typing import Any

from ml_assets.errors import InvalidValue


def now() -> datetime:
    """The current time in UTC: the only clock of the package, passed as a value from the edge."""
    return datetime.now(UTC)


def moment(text: Any) -> datetime:
    """The time that an ISO text says, in UTC; without a time zone it is UTC. Raises `InvalidValue`."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(f"{str(text)[:40]!r} is no time: write it as 2026-01-31T12:00:00Z") from error
