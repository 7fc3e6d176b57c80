"""The current time in UTC, and the parsing of ISO times."""

from datetime import UTC, datetime
from typing import Any

from ml_assets.errors import InvalidValue


def now() -> datetime:
    """The current time in UTC; called at the edges of the program, which pass the time on as an argument."""
    return datetime.now(UTC)


def moment(text: Any) -> datetime:
    """Parse an ISO 8601 text into a UTC time; a text without a time zone counts as UTC. Raises `InvalidValue`."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(f"{str(text)[:40]!r} is no time: write it as 2026-01-31T12:00:00Z") from error
