"""Who holds a port, and who is behind a connection, as the kernel tells it; another user is one that root becomes."""

import os
import socket
from multiprocessing.connection import Connection

import pytest
from stranger import NOBODY, needs_root, stranger

from ml_assets import listeners


def listen(connection: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection.send(server.getsockname()[1])
        connection.poll(None)


def connect(connection: Connection, number: int) -> None:
    with socket.create_connection(("127.0.0.1", number)) as client:
        connection.send(client.getsockname()[1])
        connection.poll(None)


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
