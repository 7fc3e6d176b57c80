"""Admission to the endpoint: authentication, limits, reading of bodies, and the error format `{"error": …, "detail": …}`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ml_assets.deployment.keys import Key, KeyRing, UnreadableKeys

logger = logging.getLogger("ml_assets.endpoint")

BODY_SECONDS = 30.0
"""Time limit for receiving a body, in seconds."""
MAX_FILES = 256
"""Maximum number of files in one form."""
MAX_VALUES = 500_000
"""Maximum number of commas and brackets in a JSON body: parsing millions of values blocks all other requests for seconds."""

SMALL_BODY = 65_536
"""Bytes of a body that is parsed at once, in well under a millisecond."""
KEY = "ml_assets.key"
"""Where the verified key of a request is in its scope, so that it is verified once."""
GONE = 499
"""Status of a request whose client disconnected, as in nginx; not an error of the endpoint."""

B = TypeVar("B", bound=BaseModel)
Aside = Callable[..., Awaitable[Any]]
"""Calls a function with arguments in another thread, when it is the turn of whoever asks."""


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
    if (known := request.scope.get(KEY)) is not None:
        return cast(Key, known)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    try:
        key = keys.verify(secret.strip()) if scheme.lower() == "bearer" else None
    except UnreadableKeys as error:
        raise Refused(503, "the keys cannot be read") from error
    if key is None:
        raise Refused(
            401, "a valid API key is needed: send `Authorization: Bearer <key>`", headers={"WWW-Authenticate": "Bearer"}
        )
    request.scope[KEY] = key
    return key


def may(key: Key, project: str, scope: str | None) -> None:
    """Raise `Refused` (403) unless the key opens this project and has the scope; never reveals whether a project exists."""
    if key.project != project:
        raise Refused(403, "this key does not open this project")
    if scope is not None and scope not in key.scopes:
        raise Refused(403, f"this key may not do that: it lacks the scope {scope!r}, it has {', '.join(key.scopes)}")


async def read(request: Request, shape: type[B], aside: Aside | None = None) -> B:
    """Parse the request's JSON body. Raises `Refused` (400, 413, 422); the details name places and problems, not values.

    Args:
        request: The request.
        shape: What its body must be.
        aside: Parses large bodies in another thread, beside which other requests are answered.
    """
    body = await _whole(request)
    if aside is None or len(body) <= SMALL_BODY:
        return parsed(body, shape)
    found: B = await aside(parsed, body, shape)
    return found


async def _whole(request: Request) -> bytes:
    """The request's body. Raises `Refused` (400) if it does not come in time."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError as error:
        raise Refused(400, f"the body did not come within {BODY_SECONDS:g} seconds") from error


def parsed(body: bytes, shape: type[B]) -> B:
    """A JSON body in this shape. Raises `Refused` (400, 413, 422)."""
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


async def files(request: Request, aside: Aside) -> list[bytes]:
    """The files of a request that is not JSON: the parts of a form, or the body itself; an empty list for JSON.

    A picture is sent as `curl -F files=@a.png` or as `curl -H "Content-Type: image/png" --data-binary @a.png` sends it.
    Raises `Refused` (400, 413, 422).

    Args:
        request: The request.
        aside: Takes large forms apart in another thread, beside which other requests are answered.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith(("image/", "audio/")) or kind == "application/octet-stream":
        return [await _whole(request)]
    if kind != "multipart/form-data":
        return []
    body = await _whole(request)  # which the form is then read from
    if len(body) <= SMALL_BODY:
        return await _files_of_form(request)
    found: list[bytes] = await aside(lambda: asyncio.run(_files_of_form(request)))
    return found


async def _files_of_form(request: Request) -> list[bytes]:
    """The files of a form whose body is there. Raises `Refused` (400, 422)."""
    try:
        async with request.form(max_files=MAX_FILES, max_fields=0) as form:
            found = [await part.read() for _, part in form.multi_items() if isinstance(part, UploadFile)]
    except HTTPException as error:
        raise Refused(400, f"the form cannot be read: {error.detail}") from error
    if not found:
        raise Refused(422, "the form holds no file: send each sample as a file, such as `curl -F files=@a.png`")
    return found


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
