"""One real endpoint for the whole folder: its two workers, and small real models to put into it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_assets.deployment import bento, heartbeat, keys
from ml_assets.deployment.bento import Built
from ml_assets.deployment.rollout import deploy
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

from .serving import CLASSES, PROJECT, Served, end, make_model, serve, until


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the session's endpoint."""
    return tmp_path_factory.mktemp("deployment-home")


@pytest.fixture(autouse=True)
def _home(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(state))
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    monkeypatch.delenv("ML_ASSETS_STORE", raising=False)


@pytest.fixture(scope="session")
def bentos(state: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Built]:
    """Two real Bentos of the project, `letters-1` and `letters-2`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(state))
        patch.delenv("BENTOML_HOME", raising=False)
        folder = tmp_path_factory.mktemp("models")
        task = SingleChoice(classes=(*CLASSES, "other"))
        return [bento.build(make_model(folder / str(n), f"letters-{n}", n), PROJECT, f"letters-{n}", task=task) for n in (1, 2)]


@pytest.fixture(scope="session")
def endpoint(state: Path) -> Iterator[Served]:
    """The endpoint for all projects, two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(state))
        patch.delenv("BENTOML_HOME", raising=False)
        served = serve(state / "endpoint.log")
        until(lambda: len(heartbeat.live(state / "serving", now())) == 2)
        yield served
        end(served.process)


@pytest.fixture
def store() -> ProjectStore:
    """The tables of the project that is deployed."""
    return ProjectStore(PROJECT)


@pytest.fixture(scope="session")
def secret(state: Path) -> str:
    """A key that may do everything in the project, also in the names of a program and of a person."""
    return keys.add(PROJECT, keys.SCOPES, "the app", now(), state / "keys.json", speaks_for=["crm", "anna@example.org"])


@pytest.fixture
def client(endpoint: Served, secret: str) -> Iterator[httpx.Client]:
    """A client with that key."""
    with httpx.Client(base_url=endpoint.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60) as made:
        yield made


@pytest.fixture
def live(endpoint: Served, store: ProjectStore, bentos: list[Built]) -> str:
    """The version that serves: `letters-1`, deployed if it is not."""
    deploy(store, "letters-1", bentos[0].tag, "a test", 120, now(), lambda _: None)
    return "letters-1"
