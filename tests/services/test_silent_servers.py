"""Servers that take connections and never answer: whoever asks comes back, and says so."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.commands import predict
from ml_assets.services import processes, supervisor
from ml_assets.services.supervisor import ServiceError
from ml_assets.state.home import port


@pytest.fixture
def silent(home: Path) -> Iterator[str]:
    """Takes connections, reads nothing, answers nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_status_comes_back(silent: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", silent)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    began = time.monotonic()
    found = supervisor.status()
    assert time.monotonic() - began < 20, "both are asked at the same time, with a limit of seconds"
    assert {name: found[name].problem for name in ("label_studio", "mlflow")} == {
        "label_studio": "no answer within 2 s",
        "mlflow": "no answer within 2 s",
    }


def test_up_does_not_wait_for_a_server_that_is_not_its_own(silent: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    with pytest.raises(ServiceError, match=f"mlflow at {silent} is not ready: no answer within 10 s"):
        supervisor.up(only={"mlflow", "explorer"})
    assert processes.of_home() == []


def test_predict_comes_back(silent: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_ENDPOINT_PORT", silent.rpartition(":")[2])
    monkeypatch.setattr(predict, "TIMEOUT", 0.3)
    with pytest.raises(predict.EndpointError, match=f"the endpoint at {silent} is silent for 0.3 seconds: see its log"):
        predict.call("letters", "predict", {"samples": ["a"]}, "mla_x")


def test_ports_can_be_checked_before_anything_else_is_done(home: Path) -> None:
    supervisor.refuse_taken_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port("endpoint")))
        taken.listen()
        with pytest.raises(ServiceError, match=f"port {port('endpoint')} for endpoint is taken by another program"):
            supervisor.refuse_taken_ports()
    supervisor.up(only={"explorer"})
    supervisor.refuse_taken_ports()  # its own servers are no other program
