"""Admission to the endpoint: authentication, limits, reading of bodies, and the error format `{"error": …, "detail": …}`."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.deployment.keys import Key, KeyRing, UnreadableKeys

logger = logging.getLogger("ml_assets.endpoint")

MAX_BODY = 10_000_000
"""Maximum size of a request's body, in bytes."""
BODY_SECONDS = 30.0
"""Time limit for receiving a body, in seconds."""
MAX_FILES = 256
"""Maximum number of files in one form."""
MAX_REQUESTS = 1024
"""Maximum number of concurrent requests per worker; `crowd` sets lower limits per project."""
MAX_VALUES = 500_000
"""Maximum number of commas and brackets in a JSON body: parsing millions of values blocks all other requests for seconds."""

GONE = 499
"""Status of a request whose client disconnected, as in nginx; not an error of the endpoint."""

B = TypeVar("B", bound=BaseModel)


class Refused(Exception):
    """Raised to refuse a request with this status, error sentence, details and headers."""

    def __init__(self, status: int, error: str, detail: Any = None, headers: dict[str, str] | None = None):
        super().__init__(error)
        self.status, self.error, self.detail, self.headers = status, error, detail, headers

    def response(self) -> JSONResponse:
        """The HTTP response for this error."""
        return JSONResponse({"error": self.error, "detail": self.detail}, self.status, headers=self.headers)


def caller(request: Request, keys: KeyRing) -> Key:
    """The valid key of the request. Raises `Refused`: 401, the same for all requests, or 503 if keys cannot be read."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    try:
        key = keys.verify(secret.strip()) if scheme.lower() == "bearer" else None
    except UnreadableKeys as error:
        raise Refused(503, "the keys cannot be read") from error
    if key is None:
        raise Refused(
            401, "a valid API key is needed: send `Authorization: Bearer <key>`", headers={"WWW-Authenticate": "Bearer"}
        )
    return key


def may(key: Key, project: str, scope: str | None) -> None:
    """Raise `Refused` (403) unless the key opens this project and has the scope; never reveals whether a project exists."""
    if key.project != project:
        raise Refused(403, "this key does not open this project")
    if scope is not None and scope not in key.scopes:
        raise Refused(403, f"this key may not do that: it lacks the scope {scope!r}, it has {', '.join(key.scopes)}")


async def read(request: Request, shape: type[B]) -> B:
    """Parse the request's JSON body. Raises `Refused` (400, 413, 422); the details name places and problems, not values."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
    except TimeoutError as error:
        raise Refused(400, f"the body did not come within {BODY_SECONDS:g} seconds") from error
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise Refused(413, f"the body holds too many values: more than {MAX_VALUES:,} commas and brackets")
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise Refused(400, f"the body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}") from error
        problems = [
            {"at": ".".join(map(str, e["loc"])), "problem": e["msg"]}
            for e in error.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        where = problems[0]["at"] or "the body"
        raise Refused(422, f"the body is not as it should be: {where}: {problems[0]['problem']}", problems) from error


async def files(request: Request) -> list[bytes]:
    """The files of a request that is not JSON: the parts of a form, or the body itself; an empty list for JSON.

    A picture is sent as `curl -F files=@a.png` or as `curl -H "Content-Type: image/png" --data-binary @a.png` sends it. Raises
    `Refused` (400, 413, 422).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if kind.startswith(("image/", "audio/")) or kind == "application/octet-stream":
                return [await request.body()]
            if kind != "multipart/form-data":
                return []
            async with request.form(max_files=MAX_FILES, max_fields=0) as form:
                found = [await part.read() for _, part in form.multi_items() if isinstance(part, UploadFile)]
    except TimeoutError as error:
        raise Refused(400, f"the body did not come within {BODY_SECONDS:g} seconds") from error
    except HTTPException as error:
        raise Refused(400, f"the form cannot be read: {error.detail}") from error
    if not found:
        raise Refused(422, "the form holds no file: send each sample as a file, such as `curl -F files=@a.png`")
    return found


class BodyLimit:
    """ASGI middleware: refuses bodies above `limit` bytes, by their declared length or as soon as more arrived."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY):
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting the bytes of its body."""
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
    """ASGI middleware: refuses requests while `limit` others are in progress."""

    def __init__(self, app: ASGIApp, limit: int = MAX_REQUESTS):
        self.app, self.limit = app, limit
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it at the limit."""
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
    """ASGI middleware: limits the rate of requests without a valid key, which anybody can send in any number.

    A burst passes at once. Requests above the rate wait, while requests with a key are answered.

    Args:
        app: The application behind it.
        keys: Verifies keys.
        per_second: The rate.
        burst: Number of requests that may pass at once.
        patience: Maximum waiting time in seconds; requests that would wait longer are refused (429).
        clock: Monotonic clock, in seconds.
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
        """Pass the request on, after waiting if it has no valid key."""
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


def answer_errors(app: FastAPI) -> None:
    """Install error handlers that give all errors the same format, and keep what clients sent out of the logs."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return error.response()

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return Refused(error.status_code, str(error.detail), headers=dict(error.headers or {})).response()

    async def disk(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OSError)
        logger.error("cannot write: %s", error.strerror)
        return Refused(503, "the request cannot be stored at the moment", headers={"Retry-After": "10"}).response()

    async def gone(_: Request, error: Exception) -> JSONResponse:
        return Refused(GONE, "the client hung up before the request was whole").response()  # only to be counted

    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return Refused(500, "the endpoint failed on this request").response()

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(OSError, disk)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unexpected)
    for name in ("uvicorn.error", "bentoml.serve"):
        logging.getLogger(name).addFilter(_without_values)


def _without_values(record: logging.LogRecord) -> bool:
    """Log filter that replaces a traceback, whose message may quote a sample, by the type and place of the error."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        record.msg, record.args, record.exc_info, record.exc_text = f"{type(error).__name__} at {place}", (), None, None
    return True
