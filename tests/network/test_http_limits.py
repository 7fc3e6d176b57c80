"""What one connection may ask of a server before an application is asked."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psutil
import pytest
import uvicorn

from ml_assets.network import http_limits
from ml_assets.network.http_limits import LimitedProtocol

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TIMEOUT = 20


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says how long the body was; one that is posted to `/early` is answered before it came, to `/slow` after a second."""
    if scope["type"] != "http":
        return
    length, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    answer = b"%d" % length
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """A server with the protocol, in a thread of this process."""
    config = uvicorn.Config(application, port=0, http=LimitedProtocol, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with config.bind_socket() as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield listening.getsockname()
        server.should_exit = True
        thread.join(TIMEOUT)
    assert not LimitedProtocol.heads
    assert not LimitedProtocol.addresses


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=TIMEOUT)


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionError:  # closed with something of ours unread
        pass
    return received


def ask(address: tuple[str, int]) -> bytes:
    with closing(connect(address)) as connection:
        connection.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return rest(connection)


def status(address: tuple[str, int], sent: bytes) -> bytes:
    with closing(connect(address)) as connection:
        connection.sendall(sent)
        return rest(connection).partition(b"\r\n")[0]


def endless(address: tuple[str, int], first: bytes, piece: bytes) -> int:
    """How many bytes were taken before the connection was closed."""
    sent = 0
    with closing(connect(address)) as connection:
        try:
            connection.sendall(first)
            while sent < 100_000_000:
                connection.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
    return sent


def test_what_is_within_the_limits_is_answered(address: tuple[str, int]) -> None:
    headers = b"".join(b"x-%d: %s\r\n" % (i, b"a" * 300) for i in range(http_limits.HEADERS - 1))
    body = b"x" * 3_000_000
    with closing(connect(address)) as connection:
        for _ in range(3):  # one connection after the other request
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + headers[:25_000].rpartition(b"\r\n")[0] + b"\r\n")
            connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert connection.recv(65_536).endswith(b"3000000")


def test_a_body_in_many_small_chunks_is_taken(address: tuple[str, int]) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (10, b"x" * 16) for _ in range(20)).replace(b"a\r\n", b"10\r\n") * 500
    with closing(connect(address)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunks + b"0\r\n\r\n")
        assert rest(connection).endswith(b"160000")


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"GET / HTTP/1.1\r\nx: ", b"a" * 50_000),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 9_000),
        (b"GET / HTTP/1.1\r\n", b"a" * 50_000),
        (b"GET /", b"a" * 50_000),
        (b"", b"\r\n" * 25_000),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ", b"a" * 50_000),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 9_000),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 50_000),
        (GET, b"\r\n" * 25_000),
    ],
    ids=[
        "a value",
        "headers",
        "a name",
        "an address",
        "empty lines",
        "a trailer",
        "trailers",
        "a chunk's extension",
        "after one",
    ],
)
def test_endless_headers_are_cut_off_and_take_no_memory(address: tuple[str, int], first: bytes, piece: bytes) -> None:
    before = psutil.Process().memory_info().rss
    for _ in range(4):
        assert endless(address, first, piece) < 20_000_000, "what the buffers of both ends hold is little"
    assert psutil.Process().memory_info().rss - before < 60_000_000
    assert ask(address).endswith(b"0")


def test_too_long_and_too_many_headers_are_said(address: tuple[str, int]) -> None:
    assert status(address, b"GET / HTTP/1.1\r\nx: " + b"a" * http_limits.HEAD_BYTES + b"\r\n\r\n") == (
        b"HTTP/1.1 431 Request Header Fields Too Large"
    )
    many = b"".join(b"x-%d: a\r\n" % i for i in range(http_limits.HEADERS + 1))
    assert b" 431 " in status(address, b"GET / HTTP/1.1\r\n" + many + b"\r\n")
    assert b" 400 " in status(address, b"\x16\x03\x01 hello\r\n\r\n")


def test_slow_headers_do_not_hold_their_place(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.3)
    for sent in (b"", b"GET / HTTP/1.1\r\nx"):
        assert b" 408 " in status(address, sent)
    # also where a request was answered before
    with closing(connect(address)) as connection:
        connection.sendall(GET)
        assert connection.recv(65_536).endswith(b"0")
        connection.sendall(b"GET /")
        assert b" 408 " in rest(connection)


def test_a_request_that_takes_long_is_not_taken_for_slow_headers(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.2)
    with closing(connect(address)) as connection:
        connection.sendall(GET.replace(b"GET /", b"GET /slow"))
        connection.sendall(b"\r\n")  # as some old clients end a request
        assert connection.recv(65_536).endswith(b"0")


def test_the_rest_of_a_body_that_was_answered_is_not_awaited_for_ever(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_limits, "REST_SECONDS", 0.3)
    with closing(connect(address)) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
        assert b"200 OK" in rest(connection)


FRAMES, CRUMBS = b"1;%s\r\n \r\n" % (b"x" * 1000), b"1\r\n \r\n"


@pytest.mark.parametrize(
    ("path", "piece"),
    # how long a body may be that is read is for the application to say
    [
        (b"/", FRAMES),
        (b"/", CRUMBS),
        (b"/early", FRAMES),
        (b"/early", CRUMBS),
        (b"/early", b"10000\r\n%s\r\n" % (b"x" * 65_536)),
    ],
    ids=["frames", "crumbs", "frames, answered", "crumbs, answered", "bytes, answered"],
)
def test_a_body_without_end_is_cut_off(address: tuple[str, int], path: bytes, piece: bytes) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    assert endless(address, head, piece * max(1, 60_000 // len(piece))) < 90_000_000
    assert ask(address).endswith(b"0")


@pytest.mark.parametrize("request_line", [b"TRACE /", b"CONNECT /noises/labels", b"CONNECT a:80", b"OPTIONS *", b"BREW /"])
def test_what_no_route_knows_is_refused_in_the_one_shape(address: tuple[str, int], request_line: bytes) -> None:
    with closing(connect(address)) as connection:
        connection.sendall(b"%s HTTP/1.1\r\nHost: a\r\n\r\n" % request_line)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'{"error": ' in answer


def test_of_too_many_connections_of_one_address_the_oldest_goes_and_honest_ones_are_answered(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_limits, "PER_ADDRESS", 5)
    monkeypatch.setattr(http_limits, "YOUNG_SECONDS", 0.0)
    with ExitStack() as stack:
        held = [stack.enter_context(closing(connect(address))) for _ in range(5)]
        assert ask(address).endswith(b"0")
        assert rest(held[0]) == b""
        held[-1].sendall(GET)
        assert b"200 OK" in held[-1].recv(65_536)


def test_a_burst_of_honest_connections_is_answered(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """All are open before the first headers are read; none is taken for one that keeps its headers back."""
    monkeypatch.setattr(http_limits, "PER_ADDRESS", 5)
    with ExitStack() as stack:
        burst = [stack.enter_context(closing(connect(address))) for _ in range(100)]
        for connection in burst:
            connection.sendall(GET)
        assert all(b"200 OK" in connection.recv(65_536) for connection in burst)


def test_connections_that_come_at_once_are_read_a_few_at_a_time(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an open connection waits until the last of thousands was read."""
    turns: list[int] = []
    read_next = http_limits.LimitedProtocol._read_next

    def noted(protocol: http_limits.LimitedProtocol, new: http_limits.Arrivals) -> None:
        turns.append(len(new.waiting))
        read_next(protocol, new)

    monkeypatch.setattr(http_limits, "ARRIVALS", 3)
    monkeypatch.setattr(http_limits.LimitedProtocol, "_read_next", noted)
    with ExitStack() as stack:
        burst = [stack.enter_context(closing(connect(address))) for _ in range(100)]
        for connection in burst:
            connection.sendall(GET)
        assert all(b"200 OK" in connection.recv(65_536) for connection in burst)
    assert len(turns) >= 2
    assert turns[-1] <= 3, "none waits any more"


def test_where_all_places_are_taken_an_idle_one_goes_or_503_is_said(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_limits, "CONNECTIONS", 2)
    with ExitStack() as stack:
        busy, idle = (stack.enter_context(closing(connect(address))) for _ in range(2))
        busy.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
        idle.sendall(GET)
        assert idle.recv(65_536)
        second = stack.enter_context(closing(connect(address)))
        second.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1")
        assert rest(idle) == b""
        assert b" 503 " in status(address, b"")
        busy.sendall(b"23456789")
        assert b"200 OK" in busy.recv(65_536)


def test_thousands_of_requests_in_one_packet_are_cut_off(address: tuple[str, int]) -> None:
    assert len(ask(address)) < 200
    with closing(connect(address)) as connection:
        connection.sendall((b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") * 5_000)
        assert rest(connection).count(b"200 OK") <= http_limits.PIPELINED
