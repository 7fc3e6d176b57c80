"""A project's home and tables in a temporary folder."""

from pathlib import Path

import pytest

from ml_assets.store import ProjectStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> ProjectStore:
    return ProjectStore("reviews", home / "store")


@pytest.fixture
def folder(home: Path) -> Path:
    made = home / "inference" / "reviews"
    made.mkdir(parents=True)
    return made
