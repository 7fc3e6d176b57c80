"""A real MLflow tracking store, and tables of a project, in temporary folders."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.store import ProjectStore
from ml_assets.training.tracking import Tracker

from .topics import PROJECT

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tracking store: its tables are made once, which takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracker(tracking: Path) -> Tracker:
    """The experiment of a project of its own."""
    made = Tracker(f"{PROJECT}{next(NUMBERS)}", f"sqlite:///{tracking}/mlflow.db")
    made.client.create_experiment(made.project, artifact_location=str(tracking / "artifacts"))
    return made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store(home: Path, tracker: Tracker) -> Iterator[ProjectStore]:
    """Tables of the tracker's project."""
    return ProjectStore(tracker.project, home / "store")
