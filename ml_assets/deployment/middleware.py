"""ASGI middleware of the endpoint: how much may come, how many requests at once, and at which pace what is refused."""

import asyncio
import time
from collections.abc import Callable

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.deployment.gate import Refused, caller
from ml_assets.deployment.keys import KeyRing

MAX_BODY = 10_000_000
"""Bytes of a request's body."""
MAX_REQUESTS = 1024
"""Requests at once, in each worker; those of one project are fewer (`crowd`)."""


class BodyLimit:
    """ASGI middleware: refuses a body above `limit` bytes, by its announced length or as soon as so much has come."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY):
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = Refused(413, f"the body is too large: at most {self.limit:,} bytes")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.limit:
            await refusal.response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise refusal
            return message

        await self.app(scope, counted, send)


class CrowdLimit:
    """ASGI middleware: refuses what comes while `limit` requests are under way."""

    def __init__(self, app: ASGIApp, limit: int = MAX_REQUESTS):
        self.app, self.limit = app, limit
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, if there is room."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.under_way >= self.limit:
            refusal = Refused(429, f"more than {self.limit} requests at once: try again", headers={"Retry-After": "1"})
            await refusal.response()(scope, receive, send)
            return
        self.under_way += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way -= 1


class Pace:
    """ASGI middleware: requests without a valid key, of which anybody can send any number, come at most at a steady pace.

    A burst passes at once. What comes faster waits, and beside it requests with a key are answered.

    Args:
        app: What is asked at that pace.
        keys: Says which requests have a key.
        per_second: The pace.
        burst: Requests that may come at once.
        patience: Seconds that a request waits at most; later ones are refused (429).
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing,
        per_second: float = 200.0,
        burst: int = 200,
        patience: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.app, self.keys, self.step = app, keys, 1.0 / per_second
        self.ahead, self.patience, self._clock = burst * self.step, patience, clock
        self._due = clock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, when its time has come."""
        if scope["type"] == "http" and not self._has_key(scope):
            now = self._clock()
            wait = max(self._due, now) - now - self.ahead
            if wait > self.patience:
                refusal = Refused(429, "too many requests without a key: try again", headers={"Retry-After": "5"})
                await refusal.response()(scope, receive, send)
                return
            self._due = max(self._due, now) + self.step
            if wait > 0:
                await asyncio.sleep(wait)
        await self.app(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        try:
            caller(Request(scope), self.keys)
        except Refused:
            return False
        return True


class RefusalPace:
    """ASGI middleware: refusals for asking too much (429) are sent at a steady pace.

    Whoever asks again as soon as it is refused would else take up the worker with nothing but refusals. A few pass at once.

    Args:
        app: What refuses.
        per_second: The pace.
        burst: Refusals that may be sent at once.
        patience: Seconds after which a refusal is sent at the latest.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        app: ASGIApp,
        per_second: float = 50.0,
        burst: int = 30,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.app, self.step, self.patience, self._clock = app, 1.0 / per_second, patience, clock
        self.ahead = burst * self.step
        self._due = clock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back; a refusal when its time has come."""
        refusal: list[Message] = []

        async def sorted_out(message: Message) -> None:
            if refusal or (message["type"] == "http.response.start" and message["status"] == 429):
                refusal.append(message)
            else:
                await send(message)

        await self.app(scope, receive, sorted_out)  # what is refused takes no room any more while its refusal waits
        if refusal:
            now = self._clock()
            wait = max(self._due, now) - now - self.ahead
            self._due = min(max(self._due, now) + self.step, now + self.ahead + self.patience)
            if wait > 0:
                await asyncio.sleep(wait)
            for message in refusal:
                await send(message)
