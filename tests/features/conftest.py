"""Tables of a project in a temporary folder."""

from pathlib import Path

import pytest

from ml_assets.store import ProjectStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectStore:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return ProjectStore("reviews", tmp_path / "home" / "store")
