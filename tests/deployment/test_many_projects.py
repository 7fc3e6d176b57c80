"""Several projects in one endpoint: one whose model is gone or damaged says so, and the others answer."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ml_assets.deployment import heartbeat
from ml_assets.deployment.bento import model_folder_of
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore, ledger
from ml_assets.tasks import MultipleChoice, SingleChoice, Spans, Task

from .serving import Served, serve_new, until

TEXTS = ["A short text.", "Another one."]
PROJECTS: dict[str, tuple[Any, dict[str, Any], Task, list[Any]]] = {
    "topics": ("text", {"type": "mlp", "hidden": 8}, SingleChoice(classes=("a", "b")), TEXTS),
    "tags": ("text", {"type": "text_cnn", "filters": 4}, MultipleChoice(classes=("a", "b", "c")), TEXTS),
    "names": ("text", {"type": "token_classifier"}, Spans(classes=("person",)), TEXTS),
    "counts": (
        {"type": "mixed", "parts": {"price": "number"}}, {"type": "fusion"}, SingleChoice(classes=("a", "b")), ['{"price":3.0}']
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def secrets(state: Path, endpoint: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A key of each project, which serves a model of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(state))
        folder = tmp_path_factory.mktemp("many")
        yield {name: serve_new(folder / name, name, *parts) for name, parts in PROJECTS.items()}


def ask(endpoint: Served, project: str, secret: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.post(f"{endpoint.url}/{project}/predict", json={"samples": PROJECTS[project][3]}, headers=headers, timeout=60)


def restart_workers(endpoint: Served, state: Path) -> None:
    """Kill them; their master starts new ones, which load what the ledgers name."""
    before = {w.pid for w in heartbeat.live(state / "serving", now())}
    for worker in psutil.Process(endpoint.process.pid).children(recursive=True):
        if worker.pid in before:
            os.kill(worker.pid, signal.SIGKILL)
    until(lambda: len({w.pid for w in heartbeat.live(state / "serving", now())} - before) == 2, 120)


def test_each_project_is_answered_by_its_own_model(endpoint: Served, secrets: dict[str, str]) -> None:
    for name, secret in secrets.items():
        answer = ask(endpoint, name, secret)
        assert (answer.status_code, answer.json().get("model")) == (200, f"{name}-1"), answer.text
        other = next(each for each in secrets if each != name)
        assert ask(endpoint, other, secret).status_code == 403


def test_a_damaged_model_leaves_the_other_projects_working(endpoint: Served, state: Path, secrets: dict[str, str]) -> None:
    live = ledger.serving(ProjectStore("tags"))
    assert live is not None
    weights = model_folder_of(live.bento) / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    try:
        restart_workers(endpoint, state)
        for name, secret in secrets.items():
            answer = ask(endpoint, name, secret)
            if name == "tags":
                assert answer.status_code == 503
                assert (
                    answer.json()["error"] == "not serving: the model of 'tags' cannot be loaded, the endpoint's log says why"
                )
            else:
                assert answer.status_code == 200, answer.text
    finally:
        weights.write_bytes(whole)
        restart_workers(endpoint, state)
    assert ask(endpoint, "tags", secrets["tags"]).status_code == 200
