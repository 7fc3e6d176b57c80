"""What the tests of labeling share: a project of their own in the real Label Studio, and tables of their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser_fixture import browser  # noqa: F401

from ml_assets.labeling.label_studio import LabelStudio
from ml_assets.store import ProjectStore

from .animals import CONFIG


@pytest.fixture(scope="session")
def owner(label_studio: Any) -> Iterator[LabelStudio]:
    """The owner's access to the server."""
    client = LabelStudio(label_studio.url, label_studio.token)
    yield client
    client.close()


@pytest.fixture(scope="session")
def personal_token(owner: LabelStudio) -> str:
    """The owner's personal access token as people make it on their account page; the server shows it once."""
    headers = owner._sdk._client_wrapper.get_headers()
    return str(httpx.post(f"{owner.url}/api/token/", headers=headers, timeout=30).json()["token"])


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> ProjectStore:
    """Empty tables of a project named after the test."""
    name = "".join(c for c in request.node.name.lower() if c.isalnum() or c == "_")[:40]
    return ProjectStore(name, tmp_path)


@pytest.fixture
def ls_project(owner: LabelStudio, store: ProjectStore) -> int:
    """The store's project in Label Studio."""
    return owner.ensure_project(store.project, CONFIG)
