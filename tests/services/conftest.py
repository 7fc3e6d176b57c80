"""A home of its own for each test, with ports that nobody uses, and nothing left behind."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.services import processes, supervisor
from ml_assets.state.home import PORTS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home; whatever runs for it is ended afterwards, also when the test fails."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    open_sockets = [socket.socket() for _ in PORTS]
    for service, open_socket in zip(PORTS, open_sockets, strict=True):
        open_socket.bind(("127.0.0.1", 0))
        monkeypatch.setenv(f"ML_ASSETS_{service.upper()}_PORT", str(open_socket.getsockname()[1]))
    for open_socket in open_sockets:
        open_socket.close()
    yield tmp_path
    supervisor.down()
    assert processes.of_home(folder=tmp_path) == []
