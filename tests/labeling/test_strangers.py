"""What is secret about Label Studio goes to no process of another user of the machine that holds its port."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from installation import free_port
from stranger import needs_root, stranger

from ml_assets.commands.invite import invite
from ml_assets.demo.annotators import label
from ml_assets.labeling.accounts import ensure_annotator, sign_in
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import LabelStudio, LabelStudioRefused
from ml_assets.labeling.sensors import labeling_sensors, news
from ml_assets.state import credentials
from ml_assets.state.home import port, url
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .animals import AT, TASK, settings

SENTENCE = (
    r"^port \d+ of label_studio is held by another user of this machine \(user id 65534\): nothing secret is sent there; "
)


def listen(connection: Connection, number: int) -> None:
    """Takes the port, answers as if it were Label Studio, and hands on all it got at the end."""
    got = b""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", number))
        server.listen()
        server.settimeout(0.2)
        connection.send("listening")
        while not connection.poll():
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            with client:
                client.settimeout(2)
                got += client.recv(100_000)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    connection.send(got)


class Thief:
    """Another user who holds the port where Label Studio should be."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def got(self) -> bytes:
        """All bytes that were sent to it."""
        self._connection.send("enough")
        assert self._connection.poll(10)
        return bytes(self._connection.recv())


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> credentials.LabelStudioAccount:
    """The secrets of a home whose Label Studio has a port of its own."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("ML_ASSETS_LABEL_STUDIO_PORT", str(free_port()))
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    return credentials.label_studio()


@pytest.fixture
def thief(secrets: credentials.LabelStudioAccount) -> Iterator[Thief]:
    with stranger(listen, port("label_studio")) as connection:
        assert connection.poll(10)
        assert connection.recv() == "listening"
        yield Thief(connection)


@needs_root
def test_the_token_is_not_sent_to_another_user_who_holds_the_port(secrets: Any, thief: Thief) -> None:
    for ask in (
        connect,
        lambda: LabelStudio(url("label_studio"), secrets.api_key),
        lambda: LabelStudio(url("label_studio") + "/", secrets.api_key),
        lambda: sign_in(url("label_studio"), "ann@example.org", "a good password"),
        lambda: invite("newsgroups"),
        lambda: invite("newsgroups", "ann@example.org"),
        lambda: _demo(),
        lambda: _news(),
    ):
        with pytest.raises(LabelStudioRefused, match=SENTENCE):
            ask()
    assert thief.got() == b""


def _queued(project: str) -> ProjectStore:
    store = ProjectStore(project)
    row = {"id": "a", "task_id": 1, "ls_project": 1, "priority": 0.5, "reason": "random", "pushed_at": AT}
    store.table("label_tasks").upsert(rows("label_tasks", [row | {"predicted": None, "model": None}]))
    return store


def _demo() -> None:
    _queued("opinions")
    label("opinions", TASK, {"ann@localhost.example": {"a": "cat"}}, lambda done, total: None)


def _news() -> None:
    _queued("watched")
    news("watched")


@needs_root
def test_a_client_from_before_sends_nothing_to_who_took_the_port_since(secrets: Any) -> None:
    client = connect()  # when nobody listened
    with stranger(listen, port("label_studio")) as connection:
        assert connection.poll(10)
        connection.recv()
        for ask in (client.users, client.invite_link, lambda: ensure_annotator(client, "ann@example.org", "a good password")):
            with pytest.raises(LabelStudioRefused, match=SENTENCE):
                ask()
        assert Thief(connection).got() == b""


@needs_root
def test_a_sensor_skips_while_another_user_holds_the_port(secrets: Any, thief: Thief) -> None:
    _queued("watched")
    [sensor] = labeling_sensors("watched", settings(size=5))
    with dg.instance_for_test() as instance:
        asked: Any = sensor(dg.build_sensor_context(instance=instance, sensor_name=sensor.name))
    assert isinstance(asked, dg.SkipReason)
    assert "held by another user" in str(asked.skip_message)
    assert thief.got() == b""


def test_a_server_that_leads_elsewhere_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    number, got = free_port(), []
    with socket.socket() as server:
        server.bind(("127.0.0.1", number))
        server.listen()

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(100_000)
                client.sendall(
                    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://localhost:%d/x\r\nContent-Length: 0\r\n"
                    b"Connection: close\r\n\r\n" % number
                )
            server.settimeout(1)
            with contextlib.suppress(TimeoutError):
                got.append(server.accept())

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LabelStudioRefused, match=r"leads on to localhost: nothing is sent there$"):
            LabelStudio(f"http://127.0.0.1:{number}", "0" * 40).users()
        thread.join()
    assert not got
