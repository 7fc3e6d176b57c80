"""Rate limit for API keys, counted by each worker for itself."""

import time
from collections.abc import Callable


class RateLimit:
    """A rate limiter by the generic cell rate algorithm (ITU-T I.371), which stores one number per key.

    A key may use up its minute at once; capacity then returns evenly. Not the package `limits`, because it starts a thread for
    nearly every request that it counts in memory.

    Args:
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._due: dict[str, float] = {}

    def wait(self, key: str, per_minute: int) -> float:
        """0 if the key may make a request now, which is then counted; otherwise the seconds until it may."""
        now, step = self._clock(), 60.0 / per_minute
        due = max(self._due.get(key, now), now)
        if due + step - now > 60.0 + 1e-6:
            return due + step - now - 60.0
        self._due[key] = due + step
        return 0.0
