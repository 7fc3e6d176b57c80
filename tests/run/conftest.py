"""A Dagster instance of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    with dg.instance_for_test() as made:
        yield made
