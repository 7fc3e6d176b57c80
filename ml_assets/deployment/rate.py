"""How many requests a key may make in a minute, counted by each worker for itself."""

import time
from collections.abc import Callable


class RateLimit:
    """The generic cell rate algorithm (ITU-T I.371): one number per key.

    A key may use up its minute at once; what it used comes back evenly. Own code, because `limits` starts a thread for nearly
    every request that it counts in memory.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._due: dict[str, float] = {}

    def wait(self, key: str, per_minute: int) -> float:
        """0 if a request of the key may pass now, which counts it; otherwise the seconds until one may."""
        now, step = self._clock(), 60.0 / per_minute
        due = max(self._due.get(key, now), now)
        if due + step - now > 60.0 + 1e-6:
            return due + step - now - 60.0
        self._due[key] = due + step
        return 0.0
