"""Requests as bytes: what no well-behaved client would send."""

import http.client
import socket
from contextlib import suppress

Request = tuple[str, str, dict[str, str], str | None]
"""Method, path, headers, body."""


def ask(port: int, method: str, path: str, headers: dict[str, str], body: str | None) -> tuple[int, str]:
    """Status and beginning of the answer; status 0 if the connection is closed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(20_000).decode(errors="replace")
    except (http.client.HTTPException, ConnectionError) as error:
        return 0, type(error).__name__
    finally:
        connection.close()


def upgrade(port: int, path: str, headers: dict[str, str]) -> bool:
    """Whether a WebSocket is opened."""
    lines = {
        "Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "graphql-ws", **headers,
    }  # fmt: skip
    request = "".join([f"GET {path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in lines.items()), "\r\n"])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request.encode())
        try:
            return connection.recv(100).startswith(b"HTTP/1.1 101")
        except ConnectionError:
            return False


def exchange(port: int, request: bytes, seconds: float = 40) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of the first answer to these bytes; status 0 if there is none.

    Raises `TimeoutError` if nothing comes and the connection is not closed either.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(ConnectionError):  # it may be refused before all is sent
            connection.sendall(request)
        answer = http.client.HTTPResponse(connection, method=request[:5].partition(b" ")[0].decode("latin-1"))
        try:
            answer.begin()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (http.client.HTTPException, ConnectionError):
            return 0, {}, b""
        finally:
            answer.close()
