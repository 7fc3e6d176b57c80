"""Limits the concurrent requests and body bytes of each key and project in a worker, and how slowly bodies may arrive."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Message

from ml_assets.deployment.gate import BODY_SECONDS, Refused
from ml_assets.deployment.keys import Key

RETRY = {"Retry-After": "1"}


@dataclass(frozen=True)
class Most:
    """Limits on concurrent requests, per worker.

    Args:
        of_key: Requests with one key.
        of_project: Requests of one project.
        project_bytes: Body bytes of all requests of one project.
        all_bytes: Body bytes of all requests.
        seconds: Time limit for receiving a body.
        patience: Seconds after which `bytes_per_second` is enforced.
        bytes_per_second: Minimum average rate at which a body must arrive.
        project_rate: Bytes per second at which the bodies of one project are read, beyond a burst of `project_bytes` / 4: what
            comes faster is slowed down, so that reading it leaves the worker time for others.
    """

    of_key: int = 96
    of_project: int = 128
    project_bytes: int = 64_000_000
    all_bytes: int = 256_000_000
    seconds: float = BODY_SECONDS
    patience: float = 5.0
    bytes_per_second: float = 20_000.0
    project_rate: float = 25_000_000.0


class Crowd:
    """Counts the concurrent requests and body bytes of each key and project.

    Args:
        most: The limits.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, most: Most | None = None, clock: Callable[[], float] = time.monotonic):
        self.most, self._clock = most or Most(), clock
        self._keys: Counter[str] = Counter()
        self._projects: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._due: dict[str, float] = {}

    @contextmanager
    def enter(self, key: Key, request: Request) -> Iterator[Request]:
        """A context that counts the request and yields it with a limited body. Raises `Refused` (429) if a limit is reached."""
        if self._keys[key.id] >= self.most.of_key:
            raise Refused(429, f"more than {self.most.of_key} requests at once with this key: try again", headers=RETRY)
        if self._projects[key.project] >= self.most.of_project:
            raise Refused(429, f"more than {self.most.of_project} requests at once to this project: try again", headers=RETRY)
        body = _Body(self, key.project, request)
        self._keys[key.id] += 1
        self._projects[key.project] += 1
        try:
            yield Request(request.scope, body.receive)
        finally:
            self.take(key.project, -body.size)
            for counts, name in ((self._keys, key.id), (self._projects, key.project)):
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]

    def take(self, project: str, size: int) -> None:
        """Count body bytes that arrived, or with a negative size were released. Raises `Refused` (429) above the limit."""
        if size > 0 and (
            self._bytes[project] + size > self.most.project_bytes or self._bytes.total() + size > self.most.all_bytes
        ):
            raise Refused(429, "too many bytes are under way: wait for the answers, then try again", headers=RETRY)
        self._bytes[project] += size
        if not self._bytes[project]:
            del self._bytes[project]

    def wait(self, project: str, size: int) -> float:
        """Count bytes that have come; the seconds until the project may go on reading."""
        now, ahead = self._clock(), self.most.project_bytes / 4 / self.most.project_rate
        if len(self._due) > 1000:
            self._due = {name: due for name, due in self._due.items() if due > now}
        self._due[project] = max(self._due.get(project, 0.0), now) + size / self.most.project_rate
        return max(0.0, self._due[project] - now - ahead)

    def now(self) -> float:
        """The monotonic time in seconds."""
        return self._clock()


class _Body:
    """The body of one request, counted and timed while it arrives."""

    def __init__(self, crowd: Crowd, project: str, request: Request):
        self._crowd, self._project, self._receive = crowd, project, request.receive
        self._began: float | None = None
        self._waited = 0.0
        self._whole = False
        self.size = 0

    async def receive(self) -> Message:
        """The next ASGI message of the request. Raises `Refused` (408, 429)."""
        if self._whole:  # the only message after the body is a disconnect
            return await self._receive()
        most, now = self._crowd.most, self._crowd.now()
        self._began = now if self._began is None else self._began
        left = min(most.seconds, most.patience + self.size / most.bytes_per_second) - (now - self._began - self._waited)
        try:
            async with asyncio.timeout(left):
                message = await self._receive()
        except TimeoutError as error:
            seconds = self._crowd.now() - self._began
            raise Refused(408, f"the body comes too slowly: {self.size:,} bytes in {seconds:.0f} seconds") from error
        size = len(message.get("body", b""))
        self._crowd.take(self._project, size)
        self.size += size
        if wait := self._crowd.wait(self._project, size):
            self._waited += wait  # which is not the client's fault
            await asyncio.sleep(wait)
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message
