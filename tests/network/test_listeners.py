"""Who holds a port, and who is behind a connection, as the kernel tells it; another user is one that root becomes."""

import os
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
from stranger import NOBODY, needs_root, stranger

from ml_assets.commands.predict import call
from ml_assets.labeling.label_studio import http
from ml_assets.network import listeners


def listen(connection: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection.send(server.getsockname()[1])
        connection.poll(None)


def connect(connection: Connection, number: int) -> None:
    with socket.create_connection(("127.0.0.1", number)) as client:
        connection.send(client.getsockname()[1])
        connection.poll(None)


def answer(connection: Connection) -> None:
    """Listen, and tell what comes; "" if the connection is closed before anything did."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection.send(server.getsockname()[1])
        taken, _ = server.accept()
        connection.send(taken.recv(65_536).decode())


@needs_root
def test_a_port_that_another_user_takes_after_the_look_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger(answer) as other:
        number = other.recv()
        monkeypatch.setenv("ML_ASSETS_LABEL_STUDIO_PORT", str(number))
        monkeypatch.setenv("ML_ASSETS_ENDPOINT_PORT", str(number))
        with monkeypatch.context() as before:  # the look of before the request saw our own server
            looks = [os.geteuid(), os.geteuid()]
            real = listeners.holder
            before.setattr(listeners, "holder", lambda port: looks.pop() if looks else real(port))
            with http.client(f"http://127.0.0.1:{number}", 5) as client, pytest.raises(http.LabelStudioRefused, match="65534"):
                client.get(f"http://127.0.0.1:{number}/api/users", headers={"Authorization": "Token secret"})
        assert other.recv() == ""
    with stranger(answer) as other:
        number = other.recv()
        monkeypatch.setenv("ML_ASSETS_ENDPOINT_PORT", str(number))
        monkeypatch.setattr(listeners, "holder", lambda port: None)  # nor does anybody listen there any more
        monkeypatch.setattr(listeners, "peer", peer_once_accepted(listeners.peer))
        with pytest.raises(listeners.StrangerListens, match="65534"):
            call("letters", "predict", {"samples": ["a"]}, "secret")
        assert other.recv() == ""


def peer_once_accepted(real: Callable[..., int | None]) -> Callable[..., int | None]:
    """As the kernel tells it once the other side has accepted; until then a connection may seem to be root's."""

    def look(*addresses: listeners.Address) -> int | None:
        until = time.monotonic() + 5
        while (user := real(*addresses)) in (None, 0) and time.monotonic() < until:
            time.sleep(0.01)
        return user

    return look


def test_nobody_holds_a_free_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    assert listeners.holder(number) is None


def test_a_port_of_this_user_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((address, 0)) as server:
            number = server.getsockname()[1]
            monkeypatch.setenv("ML_ASSETS_LABEL_STUDIO_PORT", str(number))
            assert listeners.holder(number) == os.geteuid()
            listeners.refuse_stranger("label_studio")


@needs_root
def test_a_port_of_another_user_is_refused_unless_the_environment_names_that_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger(listen) as other:
        number = other.recv()
        assert listeners.holder(number) == NOBODY
        monkeypatch.setenv("ML_ASSETS_LABEL_STUDIO_PORT", str(number))
        with pytest.raises(listeners.StrangerListens, match="user id 65534"):
            listeners.refuse_stranger("label_studio")
        monkeypatch.setenv("LABEL_STUDIO_URL", "http://labels.example.org")
        listeners.refuse_stranger("label_studio")


@needs_root
def test_the_user_behind_a_connection_is_told_as_long_as_it_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with stranger(connect, number) as other:
            connection, client = server.accept()
            assert client == ("127.0.0.1", other.recv())
            assert listeners.peer(client, ("127.0.0.1", number)) == NOBODY
            assert not listeners.trusted(NOBODY)
        with connection:
            assert listeners.peer(client, ("127.0.0.1", number)) is None
    assert not listeners.trusted(None)


def test_a_connection_of_this_user_is_trusted_also_when_it_was_mapped_into_ipv6() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        number = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)) as client:
            connection, seen = server.accept()
            with connection:
                assert seen[0] == "::ffff:127.0.0.1"
                assert listeners.trusted(listeners.peer((seen[0], seen[1]), ("127.0.0.1", number)))
                assert client.getsockname()[1] == seen[1]
