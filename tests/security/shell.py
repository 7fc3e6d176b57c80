"""What the other user of the machine runs. Nothing here may read a file of the checkout."""

import http.client
import json
import os
import re
import selectors
import socket
import stat
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from urllib.parse import urlencode

import zmq

from .wire import Request, ask


def ask_all(port: int, requests: list[Request]) -> list[tuple[int, str]]:
    return [ask(port, *request) for request in requests]


def fill_in(port: int, forms: list[tuple[str, dict[str, str]]]) -> list[str]:
    return [_log_in(port, path, form) for path, form in forms]


def _log_in(port: int, path: str, form: dict[str, str]) -> str:
    """The cookies that Django sends after its form was filled in, with its own token against forgery."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    page = connection.getresponse()
    page.read()
    token = re.search(r"csrftoken=([^;]+)", page.headers.get("Set-Cookie", ""))
    secret = token.group(1) if token else ""
    body = urlencode(form | {"csrfmiddlewaretoken": secret})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={secret}"}
    connection.request("POST", path, body, headers | {"Referer": f"http://127.0.0.1:{port}{path}"})
    answer = connection.getresponse()
    answer.read()
    return "; ".join(answer.headers.get_all("Set-Cookie") or []) if answer.status == 302 else ""


def circus(port: int, command: str) -> str | None:
    """What circus answers to a new process that is to be started; None if nothing answers."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as channel:
        channel.setsockopt(zmq.LINGER, 0)
        channel.connect(f"tcp://127.0.0.1:{port}")
        wanted = {"name": "stranger", "cmd": command, "start": True, "options": {"shell": True}}
        channel.send(json.dumps({"id": "1", "command": "add", "properties": wanted}).encode())
        return channel.recv().decode(errors="replace")[:200] if channel.poll(2000) else None


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            return False
        return True


def readable(paths: list[str]) -> list[str]:
    """Files that can be opened, folders that can be listed and hold something."""
    found = []
    for path in paths:
        try:
            if stat.S_ISDIR(os.stat(path).st_mode):
                if not os.listdir(path):
                    continue
            elif stat.S_ISREG(os.stat(path).st_mode):
                os.close(os.open(path, os.O_RDONLY))
            else:
                continue
        except OSError:
            continue
        found.append(path)
    return found


def replaceable(paths: list[str]) -> list[str]:
    """Those that can be renamed (and are put back), or written."""
    found = []
    for path in paths:
        with suppress(OSError):
            os.rename(path, path + ".taken")
            os.rename(path + ".taken", path)
            found.append(path)
            continue
        if not os.path.isdir(path) and os.path.exists(path) and os.access(path, os.W_OK):
            found.append(path)
    return found


def writable(paths: list[str]) -> list[str]:
    """Those that can be written, or whose folder lets another user rename them."""
    found = []
    for path in paths:
        folder = os.path.dirname(path)
        sticky = os.path.isdir(folder) and os.stat(folder).st_mode & stat.S_ISVTX
        if os.access(path, os.W_OK) or (os.access(folder, os.W_OK) and not sticky):
            found.append(path)
    return found


def proc(pids: list[int]) -> list[tuple[int, str, bool]]:
    """Of each process the command line, and whether its environment can be read."""
    found = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                readable = bool(file.read())
        except OSError:
            readable = False
        found.append((pid, line, readable))
    return found


def record(connection: Connection, ports: list[int]) -> None:
    """Hold the ports, answer like a server that is ready, and keep what was sent until told that it is enough."""
    listeners = []
    for port in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        listeners.append(listener)
    connection.send("listening")
    connection.send(_answer_until_enough(connection, listeners))


def record_when_free(connection: Connection, port: int) -> None:
    """The same for one port, as soon as nobody holds it."""
    until = time.monotonic() + 25
    while time.monotonic() < until:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(64)
        except OSError:
            listener.close()
            time.sleep(0.002)
            continue
        connection.send("listening")
        connection.send(_answer_until_enough(connection, [listener]))
        return


def _answer_until_enough(connection: Connection, listeners: list[socket.socket]) -> str:
    said, waiting = bytearray(), selectors.DefaultSelector()
    for listener in listeners:
        waiting.register(listener, selectors.EVENT_READ)
    waiting.register(connection, selectors.EVENT_READ)
    body = b'{"email": "admin@localhost.example", "status": "UP", "dagster_webserver_version": "1", "predictions": [], "id": 1}'
    body += b" OK ml_assets explorer"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
    while True:
        for key, _ in waiting.select():
            if key.fileobj is connection:
                return said.decode(errors="replace")
            client, _ = key.fileobj.accept()  # type: ignore[union-attr]
            with client:
                client.settimeout(2)
                with suppress(OSError):
                    said += client.recv(65_536) + b"\n"
                    client.sendall(answer % (len(body), body))
