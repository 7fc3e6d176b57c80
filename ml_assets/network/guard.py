"""Access control for the servers that have no log-in of their own: Dagster, MLflow and the explorer.

They listen on 127.0.0.1, which every user of the machine and every page in a browser of it can reach. The guard stands before
them and lets in this user's own programs, and the servers' own pages.
"""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from ml_assets.network import listeners
from ml_assets.state.home import port
from ml_assets.state.private import SHARED

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HOSTS = "ML_ASSETS_HOSTS"
"""Variable with further host names of the pages, such as `ml.example.org`, beside 127.0.0.1 and localhost."""
READING = ("GET", "HEAD", "OPTIONS")
FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""Content types that a browser sends to another site without asking that site first (Fetch, CORS-safelisted)."""


class Guard:
    """ASGI middleware that refuses requests of other users and of other sites' pages with status 403 and one sentence.

    Args:
        app: The application that it guards.
        service: Name of the server, whose port is part of its own address.
        json_only: Whether requests that change something must send JSON. Otherwise only the content types of forms are refused.
        no_query: Paths where GET is refused unless it asks for HTML, because it would run a query.
    """

    def __init__(self, app: Application, service: str, json_only: bool = False, no_query: tuple[str, ...] = ()):
        self.app, self.json_only, self.no_query = app, json_only, no_query
        own = (f"{name}:{port(service)}" for name in ("127.0.0.1", "localhost", "[::1]"))
        self.hosts = {*own, *given_hosts()}
        self.shared = os.environ.get(SHARED) == "1"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on to the application, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif (reason := self._stranger(scope) or self._foreign(scope)) is None:
            await self.app(scope, receive, _framed(send))
        elif scope["type"] == "websocket":
            await receive()  # the hand-shake; closing it before it was accepted is a 403
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            await _refuse(send, reason)

    def _stranger(self, scope: Message) -> str | None:
        """Why the request is refused for the user that its program runs as; None if it is not."""
        client, server = scope.get("client"), scope.get("server")
        if self.shared or not client or not server or not ip_address(client[0]).is_loopback or not listeners.known():
            return None
        user = listeners.peer((client[0], client[1]), (server[0], server[1]))
        if listeners.trusted(user):
            return None
        who = "a program that is gone" if user is None else f"user id {user}"
        return f"this server answers the user who started it, not {who}: {SHARED}=1 lets everybody in who reaches it"

    def _foreign(self, scope: Message) -> str | None:
        """Why the request is refused for its headers (host, origin, content type); None if it is not."""
        headers = _headers(scope)
        host = headers.get("host", "").lower()
        if host not in self.hosts:
            return f"{host!r} is no name of this server: name it in {HOSTS} if it is"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return f"a page of {origin!r} may not use this server"
        method = "GET" if scope["type"] == "websocket" else scope["method"]
        followed = (
            method == "GET" and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        )
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed:
            return "a page of another site may link to this server, and not use it"
        if method in READING:
            asks = scope["path"].rstrip("/") in self.no_query and "text/html" not in headers.get("accept", "")
            return "queries are sent by POST" if asks and scope["type"] == "http" else None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.json_only and kind != "application/json":
            return f"the content type {kind!r} is not application/json"
        if method == "POST" and kind in FORMS:
            return f"the content type {kind!r} is one of a form: send application/json"
        return None


def given_hosts() -> list[str]:
    """The host names in `ML_ASSETS_HOSTS`, in lower case, with their port if they have one."""
    return [name.strip().lower() for name in os.environ.get(HOSTS, "").split(",") if name.strip()]


def serve(app: Application, service: str, **limits: Any) -> None:
    """Serve the application on 127.0.0.1 at the service's port, behind the guard, until SIGTERM."""
    import uvicorn

    from ml_assets.network.http_limits import LimitedProtocol, raise_file_limit

    raise_file_limit()
    uvicorn.run(
        Guard(app, service, **limits),
        host="127.0.0.1",
        port=port(service),
        http=LimitedProtocol,
        log_level="warning",
        # any client can send a header with another client's address
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _headers(scope: Message) -> dict[str, str]:
    """The headers by name; the values of a repeated header are joined, so that no check accepts them."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _framed(send: Send) -> Send:
    """Add `X-Frame-Options: SAMEORIGIN` to each response, so that pages of other sites cannot embed it."""

    async def framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message.get("headers", ())}
            added = [(b"x-frame-options", b"SAMEORIGIN")] if b"x-frame-options" not in known else []
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return framed


async def _refuse(send: Send, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
