"""The HTTP protocol of our servers: uvicorn's, with limits on what comes before an application is asked.

uvicorn itself keeps headers of any length and number, and waits for them for ever. A few connections that never end their
headers took gigabytes, and slow ones held every place.
"""

import json
import resource
from collections import Counter
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES = 32_768
"""Of a request's line and headers together, and of what comes between two pieces of its body."""
HEADERS = 100
HEAD_SECONDS = 10.0
"""From the connection, or from a later request's first byte, until its headers are complete."""
REST_SECONDS = 2.0
"""For the rest of a body that was answered before it had come."""
REST_BYTES, REST_PIECES = 16_000_000, 1_000
"""Of such a rest; so much is read because a client may look at its answer only when it has sent all."""
PIECES = 20_000
"""Pieces (chunks) of a body, besides one for each 256 bytes of it: each costs about as much as a kilobyte."""
FRAMING = 65_536
"""Bytes that frame the chunks of a body, besides eight for each byte of it."""
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
KEEP_ALIVE_SECONDS = 5
PIPELINED = 8
"""Requests of one connection that may wait for the answer of the one before."""
CONNECTIONS = min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2)
"""Open ones of one process, whatever they do; half of the files that it may open at most."""
PER_ADDRESS = 256
"""Connections of one client address that have sent no complete headers."""
YOUNG_SECONDS = 1.0
"""A connection that is younger is not closed for another: its headers may have come already, and only not been read."""


def raise_file_limit() -> None:
    """Let this process open so many connections beside its own files, where the shell's limit is lower than the system's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4 * CONNECTIONS), hard), hard))


class LimitedProtocol(HttpToolsProtocol):
    """One connection, which is answered with 431, 408 or 503, or closed, when it asks for more than the limits."""

    heads: ClassVar[dict["LimitedProtocol", float]] = {}
    """Connections of this process that wait for complete headers, oldest first, each with the time since when."""
    idle: ClassVar[dict["LimitedProtocol", None]] = {}
    """Connections whose last request was answered and that have sent nothing since, oldest first."""
    addresses: ClassVar[Counter[str]] = Counter()
    """How many of `heads` each address has."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.timeout_keep_alive = min(self.timeout_keep_alive, KEEP_ALIVE_SECONDS)
        self._limit: Any = None  # the timer that runs
        self._in_body = False
        self._unread = 0  # bytes since the last headers or piece of a body
        self._head_bytes = 0
        self._pieces, self._body, self._came = 0, 0, 0  # of a body: pieces, its bytes, bytes in all
        self._refusal = (400, "this is no HTTP request")

    def connection_made(self, transport: Any) -> None:
        """Take the connection, closing one that waits for its headers the longest where there are too many."""
        super().connection_made(transport)
        self._await_head()
        address = self._address()
        if self.addresses[address] > PER_ADDRESS:
            self._make_room(address)
        if len(self.connections) > CONNECTIONS and not self._make_room(None):
            self.refuse(503, "too many connections are open: try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless what came since the last headers or piece of a body is more than the limit."""
        if self.transport.is_closing():
            return
        if not self._in_body and self not in self.heads and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        self._unread += len(data)
        self._came += len(data) * self._in_body
        super().data_received(data)
        if self._unread > HEAD_BYTES and not self.transport.is_closing() and self.parser is not None:
            self.refuse(431, f"the headers are longer than {HEAD_BYTES} bytes")
        elif self._in_body and self._came - self._body > FRAMING + 8 * self._body and not self.transport.is_closing():
            self.refuse(400, "the body is hardly more than the frames of its chunks")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a line that follows a body."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= HEADERS:
            self._fail(431, f"there are more than {HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Give the request to the application."""
        if self.parser.get_method() not in METHODS or not self.url.startswith((b"/", b"http://", b"https://")):
            self._fail(400, f"this server knows no such request: send one of {', '.join(sorted(m.decode() for m in METHODS))}")
        self._forget()
        self._in_body, self._unread = True, 0
        self._pieces, self._body, self._came = 0, 0, 0
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self._fail(503, f"more than {PIPELINED} requests wait for the answer of the one before")

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unread = 0
        self._pieces, self._body = self._pieces + 1, self._body + len(body)
        if self._pieces > PIECES + self._body // 256:
            self._fail(400, "the body comes in too small pieces")
        if self.cycle is not None and self.cycle.response_complete:
            if self._pieces > REST_PIECES or self._body > REST_BYTES:
                self.transport.abort()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; what comes next is another one's headers."""
        super().on_message_complete()
        self._in_body, self._unread = False, 0
        self._forget()
        if self.cycle is not None and self.cycle.response_complete:
            self.idle[self] = None

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the rest of this one not long."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._in_body:
            self._pieces, self._body, self._came = 0, 0, 0
            self._limit = self._limit or self.loop.call_later(REST_SECONDS, self.transport.close)
        elif self not in self.heads:
            self.idle[self] = None

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, or was refused while it was read."""
        self.refuse(*self._refusal)

    def refuse(self, status: int, sentence: str) -> None:
        """Answer in the shape of the endpoint's refusals, and close. An answer that has begun is cut off instead."""
        self._forget()
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        content = json.dumps({"error": sentence, "detail": None}).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()

    def _await_head(self) -> None:
        self._forget()
        self.heads[self] = self.loop.time()
        self.addresses[self._address()] += 1
        self._limit = self.loop.call_later(
            HEAD_SECONDS, self.refuse, 408, f"the headers did not come within {HEAD_SECONDS:g} seconds"
        )

    def _forget(self) -> None:
        """Take the connection from the lists, and stop its timer."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self.idle.pop(self, None)
        if self.heads.pop(self, None) is not None:
            address = self._address()
            self.addresses[address] -= 1
            if not self.addresses[address]:
                del self.addresses[address]

    def _make_room(self, address: str | None) -> bool:
        """Close the connection that waits the longest for its headers, or else one that is idle; whether there was one."""
        oldest = next((other for other in self.heads if address in (None, other._address())), None)
        if oldest is None or self.loop.time() - self.heads[oldest] < YOUNG_SECONDS:
            oldest = None if address else next(iter(self.idle), None)
        if oldest is None:
            return False
        oldest._forget()
        oldest.transport.abort()
        return True

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _count(self, length: int) -> None:
        self._head_bytes += length
        if self._head_bytes > HEAD_BYTES:
            self._fail(431, f"the headers are longer than {HEAD_BYTES} bytes")

    def _fail(self, status: int, sentence: str) -> None:
        """Stop reading: the parser calls nothing more, and `send_400_response` answers."""
        self._refusal = (status, sentence)
        raise httptools.HttpParserError(sentence)
