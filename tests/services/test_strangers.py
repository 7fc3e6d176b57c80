"""Another user of the machine who holds the port of one of our servers: gets nothing secret, and is not taken for ours."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest
from stranger import NOBODY, needs_root, stranger

from ml_assets.commands import predict
from ml_assets.network import listeners
from ml_assets.services import processes, supervisor
from ml_assets.services.catalogue import servers
from ml_assets.services.probe import listens, problem
from ml_assets.services.state import ServiceState, State, settings
from ml_assets.state.home import PORTS, port

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 44\r\nConnection: close\r\n\r\n{"status": "UP", "email": "a@example.org"}   '


def answer(connection: Connection) -> None:
    """Say yes to everybody like Label Studio, and tell what was asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection.send(server.getsockname()[1])
        server.settimeout(0.1)
        while not connection.poll(0):
            try:
                client = server.accept()[0]
            except TimeoutError:
                continue
            with client:
                connection.send(client.recv(65_536))
                client.sendall(ANSWER)


@pytest.fixture
def taken(home: Path) -> Iterator[tuple[int, Connection]]:
    """A port that another user holds, and what that user was asked."""
    with stranger(answer) as other:
        yield other.recv(), other


@needs_root
def test_no_probe_asks_a_stranger_and_status_says_who_holds_the_port(
    taken: tuple[int, Connection], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, other = taken
    for service in PORTS:
        monkeypatch.setenv(f"ML_ASSETS_{service.upper()}_PORT", str(number))
        server = servers()[service]
        sentence = f"port {number} is held by another user of this machine (user id {NOBODY})"
        with subprocess.Popen(["sleep", "600"], env=os.environ | processes.mark(service)) as ours:
            me = psutil.Process()
            state = State(me.pid, me.create_time(), settings([server]), {service: ServiceState("ready", ours.pid, 1)})
            state.write()
            try:
                assert problem(server, ours.pid) == sentence
                assert (found := supervisor.status()[service]).problem == sentence
                assert not found.ready
            finally:
                ours.kill()
    assert not other.poll(0.5), "the stranger was asked"


@needs_root
@pytest.mark.parametrize("service", ["label_studio", "mlflow"])
def test_up_starts_nothing_where_a_stranger_holds_the_port(
    taken: tuple[int, Connection], home: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    number, other = taken
    monkeypatch.setenv(f"ML_ASSETS_{service.upper()}_PORT", str(number))
    with pytest.raises(supervisor.ServiceError, match=f"port {number} for {service} is taken by another program"):
        supervisor.up(only={service})
    assert processes.of_home() == []
    while other.poll(0.5):
        assert b"Token" not in other.recv()


@needs_root
def test_predict_sends_its_key_to_no_stranger(
    taken: tuple[int, Connection], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, other = taken
    monkeypatch.setenv("ML_ASSETS_ENDPOINT_PORT", str(number))
    with pytest.raises(listeners.StrangerListens, match=f"user id {NOBODY}.*set ML_ASSETS_ENDPOINT_PORT"):
        predict.call("letters", "predict", {"samples": ["a"]}, "mla_secret")
    assert not other.poll(0.5)


def test_the_probes_carry_nothing_secret() -> None:
    assert {server.ready_path for server in servers().values()} == {"/server_info", "/health", "/readyz", "/livez"}
    assert not any("header" in name for name in servers()["label_studio"].__dataclass_fields__)


def test_another_program_of_this_user_is_told_by_name(home: Path) -> None:
    with socket.create_server(("127.0.0.1", port("mlflow"))):
        name = psutil.Process().name()
        expected = f"port {port('mlflow')} is held by another program ({name}, process {os.getpid()})"
        with subprocess.Popen(["sleep", "600"]) as ours:
            assert problem(servers()["mlflow"], ours.pid) == expected
            ours.kill()


def test_a_child_that_listens_counts_as_the_server() -> None:
    code = "import subprocess,sys; subprocess.run([sys.executable,'-c',sys.argv[1]])"
    child = "import socket,time; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, child], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        number = int(parent.stdout.readline())
        assert listens(parent.pid, number)
        assert not listens(parent.pid, number + 1)
        for one in psutil.Process(parent.pid).children(recursive=True):
            one.kill()
    deadline = time.monotonic() + 10
    while listens(parent.pid, number):
        assert time.monotonic() < deadline
