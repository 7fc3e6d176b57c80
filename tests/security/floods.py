"""What one attacker sends to stall the endpoint: run as a process of its own, `python -m security.floods NAME PORT SECONDS`.

The attacker has the lowest priority, so that what is measured is what the endpoint does, not whose turn the processor gives. A
key, if there is one, comes through the variable `KEY`.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable

Flood = Callable[[int, str], Awaitable[None]]
HOST = "127.0.0.1"
PROJECT = "arrows"
"""The attacker's own project."""
SOUNDS_PROJECT = "noises"


def _head(method: str, path: str, secret: str = "", **headers: str) -> bytes:
    lines = {"Host": HOST, **({"Authorization": f"Bearer {secret}"} if secret else {})}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in lines.items()), "\r\n"]).encode()


async def endless_headers(port: int, secret: str) -> None:
    """Four connections send one header that does not end, as fast as it is taken."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
            while True:
                writer.write(b"a" * 262_144)
                await writer.drain()

    await _again(4, send)


async def many_headers(port: int, secret: str) -> None:
    """Four connections send short headers without end."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
            while True:
                writer.write(b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(5000)))
                await writer.drain()

    await _again(4, send)


async def slow_headers(port: int, secret: str) -> None:
    """300 connections send a byte of their headers now and then."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.5)

    await _again(300, send)


async def half_open_connections(port: int, secret: str) -> None:
    """900 connections are opened and say nothing."""

    async def send() -> None:
        async with _connected(port) as (reader, _):
            await reader.read(1)

    await _again(900, send)


async def slow_bodies(port: int, secret: str) -> None:
    """600 connections without a key promise a body and send a byte of it now and then."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            writer.write(_head("POST", f"/{PROJECT}/predict", Content_Length="1000000", Content_Type="application/json"))
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.5)

    await _again(600, send)


async def huge_bodies(port: int, secret: str) -> None:
    """Eight connections send bodies of 10 GB."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            writer.write(_head("POST", f"/{PROJECT}/predict", Content_Length=str(10**10), Content_Type="application/json"))
            while True:
                writer.write(b" " * 262_144)
                await writer.drain()

    await _again(8, send)


async def endless_chunks(port: int, secret: str) -> None:
    """Eight connections send chunks without end, whose lengths come with endless extensions."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            writer.write(_head("POST", f"/{PROJECT}/predict", Transfer_Encoding="chunked", Content_Type="application/json"))
            while True:
                writer.write(b"1;%s\r\n \r\n" % (b"x" * 1000) * 100)
                await writer.drain()

    await _again(8, send)


async def pipelines(port: int, secret: str) -> None:
    """Four connections send requests one behind the other and read no answer."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            while True:
                writer.write(_head("GET", "/docs.json") * 100)
                await writer.drain()

    await _again(4, send)


async def documents(port: int, secret: str) -> None:
    """Sixteen clients ask for `/docs.json` and `/metrics` all the time."""
    await _again(16, lambda: _ask(port, [_head("GET", "/docs.json"), _head("GET", "/metrics"), _head("GET", "/")] * 50))


async def wrong_keys(port: int, secret: str) -> None:
    """Sixteen clients guess keys all the time."""
    await _again(16, lambda: _ask(port, [_head("GET", f"/{PROJECT}", f"mla_{n:043}") for n in range(200)]))


async def slow_bodies_with_a_key(port: int, secret: str) -> None:
    """1,200 connections with a key promise a body and send a byte of it now and then: they fill a limit that all share."""

    async def send() -> None:
        async with _connected(port) as (_, writer):
            kind = {"Content_Length": "1000000", "Content_Type": "application/json"}
            writer.write(_head("POST", f"/{PROJECT}/predict", secret, **kind))
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.5)

    await _again(1200, send)


async def pixel_bombs(port: int, secret: str) -> None:
    """Eight clients send pictures that are far larger than their files, one by one and two hundred in a form."""
    from . import media

    bombs = media.bombs()
    requests = [_file(PROJECT, secret, bomb) for bomb in bombs.values()]
    requests.append(_form(PROJECT, secret, [bombs["PNG of 9,000 x 9,000 pixels"]] * 200))
    requests.append(_form(PROJECT, secret, [bombs["JPEG of 8,000 x 8,000 pixels"]] * 12))
    await _again(8, lambda: _ask(port, requests))


async def sound_bombs(port: int, secret: str) -> None:
    """Eight clients send sounds that are far longer than their files, one by one and twenty in a form."""
    from . import media

    bombs = media.sound_bombs()
    requests = [_file(SOUNDS_PROJECT, secret, bomb, "audio/x") for bomb in bombs.values()]
    requests.append(_form(SOUNDS_PROJECT, secret, [bombs["OGG of 10 minutes of silence"]] * 20))
    requests.append(_form(SOUNDS_PROJECT, secret, [bombs["FLAC of 100 minutes of silence"]] * 20))
    await _again(8, lambda: _ask(port, requests))


async def large_objects(port: int, secret: str) -> None:
    """Eight clients send JSON of 8.7 MB: objects in objects, long lists, long texts."""
    size, requests = 8_700_000, []
    for body in (
        json.dumps({"samples": [{"a": "b" * 100, "c": [1] * 100}] * (size // 420)}),
        '{"samples": ["' + "a" * size + '"]}',
        '{"samples": [' + "[" * (size // 2) + "]" * (size // 2) + "]}",
        '{"samples": [' + ",".join(['""'] * (size // 3)) + "]}",
        '{"samples": [{' + ",".join(f'"{n}":{n}' for n in range(size // 16)) + "}]}",
        '{"samples": [' + "9" * size + "]}",
    ):
        for path in ("predict", "samples"):
            head = _head("POST", f"/{PROJECT}/{path}", secret, Content_Length=str(len(body)), Content_Type="application/json")
            requests.append(head + body.encode())
    await _again(8, lambda: _ask(port, requests))


async def many_files(port: int, secret: str) -> None:
    """Eight clients send forms with a thousand tiny files, endless boundaries and endless headers of parts."""
    from . import media

    broken = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + b"a" * 1_000_000
    requests = [
        _form(PROJECT, secret, [media.picture("PNG", 0)] * 1000),
        _post(PROJECT, secret, broken, "multipart/form-data; boundary=x"),
        _post(PROJECT, secret, b"--x\r\n" * 500_000, "multipart/form-data; boundary=x"),
    ]
    await _again(8, lambda: _ask(port, requests))


WITHOUT_KEY: tuple[Flood, ...] = (
    endless_headers, many_headers, slow_headers, half_open_connections, slow_bodies, huge_bodies, endless_chunks, pipelines,
    documents, wrong_keys,
)  # fmt: skip
WITH_KEY: tuple[Flood, ...] = (slow_bodies_with_a_key, pixel_bombs, sound_bombs, large_objects, many_files)


def _post(project: str, secret: str, body: bytes, kind: str) -> bytes:
    return _head("POST", f"/{project}/predict", secret, Content_Length=str(len(body)), Content_Type=kind) + body


def _file(project: str, secret: str, content: bytes, kind: str = "image/x") -> bytes:
    return _post(project, secret, content, kind)


def _form(project: str, secret: str, files: Iterable[bytes]) -> bytes:
    parts = [b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + file + b"\r\n" for file in files]
    return _post(project, secret, b"".join(parts) + b"--x--\r\n", "multipart/form-data; boundary=x")


class _connected:  # noqa: N801  read as a verb
    """A connection for a `with` block."""

    def __init__(self, port: int):
        self.port = port

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self.writer = await asyncio.open_connection(HOST, self.port)
        return reader, self.writer

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()


async def _ask(port: int, requests: list[bytes]) -> None:
    """Send the requests one after the other on one connection, reading each answer."""
    async with _connected(port) as (reader, writer):
        for request in requests:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
            if b"connection: close" in head.lower():
                return


async def _again(clients: int, act: Callable[[], Awaitable[None]]) -> None:
    """So many clients act again and again; being refused, cut off or kept waiting does not stop them."""

    async def client() -> None:
        while True:
            try:
                async with asyncio.timeout(60):
                    await act()
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await asyncio.sleep(0.2)

    await asyncio.gather(*(client() for _ in range(clients)))


def main() -> None:
    """Attack until the time is over."""
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    [flood] = [each for each in (*WITHOUT_KEY, *WITH_KEY) if each.__name__ == name]  # type: ignore[attr-defined]
    os.nice(19)
    if flood in (pixel_bombs, sound_bombs, many_files):  # they take a while to make; the others begin at once
        from . import media

        media.bombs(), media.sound_bombs()
    print("attacking", flush=True)

    async def attack() -> None:
        try:
            async with asyncio.timeout(seconds):
                await flood(port, os.environ.get("KEY", ""))
        except TimeoutError:
            pass

    asyncio.run(attack())
    print(f"over at {time.time():.0f}", flush=True)


if __name__ == "__main__":
    main()
