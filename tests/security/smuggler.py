"""Requests that two readers would take for different ones: each must be answered as one, or refused."""

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

from .target import LETTERS, Target

MARK = b"GET /docs.json HTTP/1.1\r\nHost: smuggled\r\n\r\n"
SECONDS = 10.0


def smuggle_a_request(target: Target) -> Iterator[str]:
    """What says two lengths, or hides its length, is refused and its connection closed: no second answer comes."""
    post = f"POST /{LETTERS}/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
    hidden = b"0\r\n\r\n" + MARK
    length = b"Content-Length: %d\r\n"
    forms = {
        "a length and chunks": post + length % len(hidden) + b"Transfer-Encoding: chunked\r\n\r\n" + hidden,
        "chunks and a length": post + b"Transfer-Encoding: chunked\r\n" + length % len(hidden) + b"\r\n" + hidden,
        "two lengths": post + length % 0 + length % len(MARK) + b"\r\n" + MARK,
        "a length with a list": post + b"Content-Length: 0, %d\r\n\r\n" % len(MARK) + MARK,
        "a length with a sign": post + b"Content-Length: +%d\r\n\r\n" % len(MARK) + MARK,
        "a space before the colon": post + b"Content-Length : %d\r\n\r\n" % len(MARK) + MARK,
        "chunks with another word": post + b"Transfer-Encoding: xchunked\r\n\r\n" + hidden,
        "chunks twice": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + hidden,
        "a folded header": post + b"X: y\r\n Content-Length: %d\r\n\r\n" % len(MARK) + MARK,
        "a line end alone": post.replace(b"\r\n", b"\n") + b"Content-Length: %d\n\n" % len(MARK) + MARK,
        "a size of a chunk that overflows": post + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n" + MARK,
    }
    for name, request in forms.items():
        statuses = _answers(target.ports["endpoint"], request)
        smuggled = name not in ("two lengths", "a folded header", "a space before the colon") and 200 in statuses[1:]
        if len(statuses) > 2 or smuggled or any(status >= 500 for status in statuses):
            yield f"{name}: answered {statuses}"


def speak_old_versions(target: Target) -> Iterator[str]:
    """HTTP/1.0 and nothing but a line are answered once, and the connection is closed."""
    for request in (b"GET / HTTP/1.0\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n"):
        statuses = _answers(target.ports["endpoint"], request)
        if len(statuses) != 1 or statuses[0] >= 500:
            yield f"{request!r} is answered {statuses}"


def pipeline(target: Target) -> Iterator[str]:
    """A few requests one behind the other are answered in order, each once."""
    one, other = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", f"GET /{LETTERS} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    statuses = _answers(target.ports["endpoint"], (one + other) * 3 + last)
    if statuses != [200, 401] * 3 + [200]:
        yield f"seven requests are answered {statuses}"


ATTACKS: tuple[Callable[[Target], Iterator[str]], ...] = (smuggle_a_request, speak_old_versions, pipeline)


def _answers(port: int, request: bytes) -> list[int]:
    """The status of each answer that comes until the connection is closed, or nothing comes any more."""
    found: list[int] = []
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
        stream = connection.makefile("rb")
        with suppress(ConnectionError, TimeoutError, http.client.HTTPException):
            while line := stream.readline(1000):
                found.append(int(line.split()[1]))
                headers = http.client.parse_headers(stream)
                stream.read(int(headers.get("Content-Length") or 0))
                connection.settimeout(2)
    return found
