"""The sensor while Label Studio does not answer, refuses the token, or hangs: it waits, says so once, and loses nothing."""

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.labeling import sensors
from ml_assets.labeling.label_studio import Answer, LabelStudio
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import push_queue
from ml_assets.labeling.sensors import labeling_sensors
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import key
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore

from .animals import AT, TASK, fill, settings, vectors

SETTINGS = settings(size=6)


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ProjectStore:
    """The tables of a home of its own."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    return ProjectStore(f"sensor_{content_id(request.node.name)[:12]}")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def reach(label_studio: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the sensor see the real server, or another address or token."""

    def go(url: str = label_studio.url, token: str = label_studio.token) -> None:
        monkeypatch.setenv("LABEL_STUDIO_URL", url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)

    return go


class Ticks:
    """The sensor as the daemon calls it: again and again, with the cursor that it left."""

    def __init__(self, project: str, instance: dg.DagsterInstance):
        [self.sensor] = labeling_sensors(project, SETTINGS)
        self.instance, self.cursor = instance, ""

    def __call__(self) -> tuple[Any, list[str]]:
        """What it asks for, and the warnings that it logs."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, sensor_name=self.sensor.name)
        kept = _Kept()
        context.log.addHandler(kept)
        asked: Any = self.sensor(context)
        self.cursor = context.cursor or ""
        return asked, kept.warnings


class _Kept(logging.Handler):
    """Keeps the warnings that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage())


@pytest.mark.parametrize("how", ["not running", "wrong token", "silent"])
def test_it_waits_and_says_so_once_and_answers_are_pulled_later(
    how: str, owner: LabelStudio, store: ProjectStore, instance: Any, reach: Any, monkeypatch: Any
) -> None:
    fill(store, 6)
    project = push_queue(store, owner, SETTINGS, Text(), vectors, AT).ls_project
    tasks = store.table("label_tasks").read()["task_id"].to_pylist()
    pull(store, owner, project, TASK)
    ticks = Ticks(store.project, instance)
    reach()
    assert isinstance(ticks()[0], dg.SkipReason)
    before = {name: store.table(name).digest() for name in ("annotations", "label_tasks", "samples")}

    owner.add_annotations([Answer(tasks[0], TASK.to_label_studio("dog"))])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if how == "silent":  # it takes connections and never answers
            listening.listen()
            monkeypatch.setattr(sensors.news, "__defaults__", (0.3,))
        if how == "wrong token":
            reach(token="0" * 40)
        else:
            reach(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        said = []
        for _ in range(3):
            began = time.monotonic()
            skipped, warnings = ticks()
            assert isinstance(skipped, dg.SkipReason)
            assert time.monotonic() - began < 55, "Dagster gives a sensor a minute"
            said += warnings
    expected = {"not running": "does not answer", "wrong token": "refuses the token (401", "silent": "is silent"}[how]
    assert len(said) == 1
    assert expected in said[0]
    assert "0" * 40 not in said[0]
    assert {name: store.table(name).digest() for name in before} == before

    reach()
    asked, warnings = ticks()
    assert isinstance(asked, dg.RunRequest)
    assert "1 tasks" in asked.tags["ml_assets/news"]
    assert asked.asset_selection == [key(store.project, noun) for noun in sensors.CHAIN]
    assert warnings == []
    assert pull(store, owner, project, TASK).changed == 1
    assert isinstance(ticks()[0], dg.SkipReason)


def test_samples_that_came_while_it_was_away_are_pushed_when_it_is_back(
    owner: LabelStudio, store: ProjectStore, instance: Any, reach: Any
) -> None:
    reach()
    ticks = Ticks(store.project, instance)
    assert isinstance(ticks()[0], dg.SkipReason), "there is nothing to ask about"
    fill(store, 6)
    assert isinstance(ticks()[0], dg.SkipReason), "they have no embeddings yet"
    instance.report_runless_asset_event(dg.AssetMaterialization(key(store.project, "embeddings")))
    asked, _ = ticks()
    assert isinstance(asked, dg.RunRequest)
    assert asked.asset_selection == [key(store.project, "label_tasks")]
    push_queue(store, owner, SETTINGS, Text(), vectors, AT)
    assert isinstance(ticks()[0], dg.SkipReason)
    assert owner.count(int(store.table("label_tasks").read()["ls_project"][0].as_py())) == 6
