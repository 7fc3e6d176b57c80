"""uvicorn's HTTP protocol with limits on connections, headers and bodies, for all our servers.

uvicorn itself keeps headers of any length and number, and waits for them for ever. A few connections that never end their
headers took gigabytes, and slow ones held every place.
"""

import json
import resource
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES = 32_768
"""Most bytes of a request's line and headers together, and between two pieces of its body."""
HEADERS = 100
HEAD_SECONDS = 10.0
"""Most seconds from the connection, or from a later request's first byte, until its headers are complete."""
REST_SECONDS = 2.0
"""Most seconds for the rest of a body whose request was answered before it was complete."""
REST_BYTES, REST_PIECES = 16_000_000, 1_000
"""Most bytes and pieces of such a rest; it is read because a client may read its answer only after it has sent all."""
PIECES = 20_000
"""Most pieces (chunks) of a body, besides one for each 256 bytes of it: each costs about as much as a kilobyte."""
FRAMING = 65_536
"""Most bytes that frame the chunks of a body, besides eight for each byte of it."""
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
KEEP_ALIVE_SECONDS = 5
PIPELINED = 8
"""Most requests of one connection that may wait for the answer of the one before."""
CONNECTIONS = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2)
"""Most open connections of one process; at most half of the files that it may open."""
PER_ADDRESS = 256
"""Most connections of one client address that have not sent complete headers."""
ARRIVALS = 20
"""Most new connections that are read in one turn of the event loop, between which open connections are answered."""
YOUNG_SECONDS = 1.0
"""A connection younger than this is not closed for another: its headers may have arrived without being read yet."""


def raise_file_limit() -> None:
    """Raise this process's limit of open files, as far as the system allows, to four times `CONNECTIONS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4 * CONNECTIONS), hard), hard))


@dataclass
class Arrivals:
    """New connections of a server.

    Args:
        count: How many came in this turn of the event loop, or wait to be read.
        waiting: Those that wait, oldest first.
    """

    count: int = 0
    waiting: "deque[LimitedProtocol]" = field(default_factory=deque)


class LimitedProtocol(HttpToolsProtocol):
    """One HTTP connection that is answered with 400, 408, 431 or 503, or closed, when it exceeds a limit."""

    heads: ClassVar[dict["LimitedProtocol", float]] = {}
    """Connections of this process that wait for complete headers, oldest first, each with the time when it began to wait."""
    idle: ClassVar[dict["LimitedProtocol", None]] = {}
    """Connections whose last request was answered and that have sent nothing since, oldest first."""
    addresses: ClassVar[Counter[str]] = Counter()
    """How many of `heads` each address has."""

    arrivals: ClassVar["WeakKeyDictionary[Any, Arrivals]"] = WeakKeyDictionary()
    """The new connections of each server of this process."""

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
        """Accept the connection; if there are too many, close the one that has waited longest for its headers."""
        super().connection_made(transport)
        self._await_head()
        self._queue()
        address = self._address()
        if self.addresses[address] > PER_ADDRESS:
            self._make_room(address)
        if len(self.connections) > CONNECTIONS and not self._make_room(None):
            self.refuse(503, "too many connections are open: try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the lists of open ones."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; refuse the request if too much came since the last headers or the last piece of a body."""
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
        """Begin a request: reset the count of its header bytes."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count and keep a piece of the request's URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count and keep a header, or a trailer that follows a body."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= HEADERS:
            self._fail(431, f"there are more than {HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the method and URL, and pass the request to the application."""
        if self.parser.get_method() not in METHODS or not self.url.startswith((b"/", b"http://", b"https://")):
            self._fail(400, f"this server knows no such request: send one of {', '.join(sorted(m.decode() for m in METHODS))}")
        self._forget()
        self._in_body, self._unread = True, 0
        self._pieces, self._body, self._came = 0, 0, 0
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self._fail(503, f"more than {PIPELINED} requests wait for the answer of the one before")

    def on_body(self, body: bytes) -> None:
        """Check a piece of a body against the limits, and pass it to the application."""
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
        """End a request: the next data are the headers of another one."""
        super().on_message_complete()
        self._in_body, self._unread = False, 0
        self._forget()
        if self.cycle is not None and self.cycle.response_complete:
            self.idle[self] = None

    def on_response_complete(self) -> None:
        """Wait for the next request; if the body of this one is incomplete, only for a short time."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._in_body:
            self._pieces, self._body, self._came = 0, 0, 0
            self._limit = self._limit or self.loop.call_later(REST_SECONDS, self.transport.close)
        elif self not in self.heads:
            self.idle[self] = None

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed or was refused during parsing."""
        self.refuse(*self._refusal)

    def refuse(self, status: int, sentence: str) -> None:
        """Send an error as JSON, as the endpoint does, and close; a response that has begun is aborted instead."""
        self._forget()
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        content = json.dumps({"error": sentence, "detail": None}).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()

    def _queue(self) -> None:
        """Read the connection now, or after those that came before it where many come at once."""
        new = self.arrivals.setdefault(self.server_state, Arrivals())
        if new.count == 0:
            self.loop.call_soon(self._read_next, new)
        new.count += 1
        if new.count > ARRIVALS:
            self.transport.pause_reading()
            new.waiting.append(self)

    def _read_next(self, new: "Arrivals") -> None:
        """Let the next waiting connections be read, once in each turn of the event loop until none waits."""
        for _ in range(min(ARRIVALS, len(new.waiting))):
            connection = new.waiting.popleft()
            if not connection.transport.is_closing():
                connection.transport.resume_reading()
        new.count = len(new.waiting)
        if new.waiting:
            self.loop.call_soon(self._read_next, new)

    def _await_head(self) -> None:
        self._forget()
        self.heads[self] = self.loop.time()
        self.addresses[self._address()] += 1
        self._limit = self.loop.call_later(
            HEAD_SECONDS, self.refuse, 408, f"the headers did not come within {HEAD_SECONDS:g} seconds"
        )

    def _forget(self) -> None:
        """Remove the connection from `heads` and `idle`, and stop its timer."""
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
        """Close the connection that waits longest for its headers, or else an idle one; return whether there was one."""
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
        """Stop the parser with an error; `send_400_response` then answers with this status and sentence."""
        self._refusal = (status, sentence)
        raise httptools.HttpParserError(sentence)
