"""What sensors ask for: one run for one piece of news, and never two writers at once."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.collection.collect import collect
from ml_assets.collection.sensors import collection_sensors
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import TableSource
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace, key, request, result, stage_asset
from ml_assets.spool import inbox
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

TASK = SingleChoice(classes=("good", "bad"))
HOLD = """
from ml_assets.state.lock import project_lock
with project_lock("p"):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    with dg.instance_for_test() as made:
        yield made


@contextmanager
def held_elsewhere() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the project's lock until it is told to end."""
    other = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    try:
        yield other
    finally:
        if other.poll() is None:
            other.communicate("\n", timeout=30)


def context(instance: dg.DagsterInstance) -> dg.SensorEvaluationContext:
    return dg.build_sensor_context(instance=instance, sensor_name="p_new_files")


def test_the_same_news_is_one_run(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    at = now()
    monkeypatch.setattr("ml_assets.orchestration.resources.now", lambda: at)
    first, again, other = (request(context(instance), "p", news) for news in ("3 files", "3 files", "4 files"))
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert isinstance(other, dg.RunRequest)
    assert first.run_key == again.run_key != other.run_key
    assert first.tags == {"ml_assets/project": "p", "ml_assets/news": "3 files"}
    monkeypatch.setattr("ml_assets.orchestration.resources.now", lambda: at.replace(year=at.year + 1))
    later = request(context(instance), "p", "3 files")
    assert isinstance(later, dg.RunRequest)
    assert later.run_key != first.run_key, "what is still news much later failed"


def test_nothing_is_asked_for_while_another_run_writes_or_waits(instance: dg.DagsterInstance) -> None:
    with held_elsewhere():
        found = request(context(instance), "p", "3 files")
        assert isinstance(found, dg.SkipReason)
        assert "is writing" in str(found.skip_message)
        assert isinstance(request(context(instance), "q", "3 files"), dg.RunRequest), "another project is not held up"
    assert isinstance(request(context(instance), "p", "3 files"), dg.RunRequest)

    @dg.asset
    def made() -> None: ...

    job = dg.define_asset_job("job").resolve(asset_graph=dg.Definitions(assets=[made]).resolve_asset_graph())
    instance.create_run_for_job(job, tags={"dagster/sensor_name": "p_new_files"})
    found = request(context(instance), "p", "3 files")
    assert isinstance(found, dg.SkipReason)
    assert "not started yet" in str(found.skip_message)


def test_the_sensor_sees_new_files_and_pushes_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    settings = CollectionSettings(modality=Text(), sources=(TableSource(name="first", path=str(tmp_path / "data")),))
    store = ProjectStore("p")
    [sensor] = collection_sensors("p", settings, TASK)

    def tick() -> Any:
        return sensor(context(instance))

    assert isinstance(tick(), dg.SkipReason)
    (tmp_path / "data" / "a.csv").write_text("text\nfine\n")
    inbox.write("p", "samples", [{"content": "pushed", "client": "shop"}])
    asked = tick()
    assert isinstance(asked, dg.RunRequest)
    assert "2 new or changed files" in asked.tags["ml_assets/news"]
    assert tick().run_key == asked.run_key
    collect(store, settings, TASK, now(), lambda _: None)
    assert isinstance(tick(), dg.SkipReason)
    assert store.table("samples").count() == 2


def test_a_place_that_is_gone_is_said_and_breaks_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    settings = CollectionSettings(modality=Text(), sources=(TableSource(name="first", path=str(tmp_path / "gone")),))
    [sensor] = collection_sensors("p", settings, TASK)
    found: Any = sensor(context(instance))
    assert isinstance(found, dg.SkipReason)
    assert "source 'first': there is nothing at" in str(found.skip_message)


@pytest.mark.parametrize("known_by", ["tag", "selection"])
def test_a_run_of_dagster_waits_for_the_lock_and_gives_it_back(instance: dg.DagsterInstance, known_by: str) -> None:
    """Runs of sensors and jobs carry the project's tag; what is started by hand in the UI names assets."""
    began = threading.Event()

    @stage_asset("p", "collection", "made")
    def made(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """An asset of the test."""
        began.set()
        return result("1")

    definitions = dg.Definitions(assets=[made], resources={"workspace": Workspace()}, executor=dg.in_process_executor)
    job = definitions.resolve_implicit_global_asset_job_def()
    how: dict[str, Any] = {"tags": {"ml_assets/project": "p"}} if known_by == "tag" else {"asset_selection": [key("p", "made")]}
    done: list[bool] = []
    with held_elsewhere() as other:
        run = threading.Thread(target=lambda: done.append(job.execute_in_process(instance=instance, **how).success))
        run.start()
        assert not began.wait(1.0), "the other process is still writing"
        other.communicate("\n", timeout=30)
        run.join(60)
    assert (done, began.is_set()) == ([True], True)
    with held_elsewhere() as other:
        assert other.poll() is None, "the lock was given back: another process has it"
