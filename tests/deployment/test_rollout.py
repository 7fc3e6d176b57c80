"""Models come and go in a running endpoint: no request fails, and a bad model changes nothing."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from ml_assets.deployment import bento, heartbeat
from ml_assets.deployment.bento import Built
from ml_assets.deployment.rollout import DeploymentFailed, deploy
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore, ledger
from ml_assets.store.ledger import Deployment

from .serving import PROJECT, TEXTS, Served, records_of, until


def put(store: ProjectStore, built: Built, seconds: float = 120) -> Deployment:
    """Deploy the Bento."""
    version = built.tag.split(":")[1].rsplit("-", 1)[0]
    return deploy(store, version, built.tag, "a test", seconds, now(), lambda _: None)


@dataclass
class Load:
    """What clients got so far."""

    models: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def clients(url: str, secret: str, count: int = 6) -> Iterator[Load]:
    """Clients that ask without pause, each over a connection of its own that it opens anew now and then."""
    load, stop = Load(), threading.Event()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {secret}"}
        while not stop.is_set():
            with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
                for _ in range(20):
                    try:
                        answer = client.post(f"/{PROJECT}/predict", json={"samples": list(TEXTS)})
                    except httpx.HTTPError as error:
                        load.failures.append(repr(error))
                        break
                    if answer.status_code != 200:
                        load.failures.append(answer.text)
                        continue
                    load.models.append(answer.json()["model"])
                    load.ids += [p["id"] for p in answer.json()["predictions"]]

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def recorded(state: Path) -> list[str]:
    """Ids of all predictions in the segments."""
    return [r["id"] for r in records_of(state / "inference" / PROJECT) if r["kind"] == "prediction"]


def test_models_are_swapped_under_load_without_a_failure(
    endpoint: Served, store: ProjectStore, bentos: list[Built], secret: str, live: str, state: Path
) -> None:
    with clients(endpoint.url, secret) as load:
        for built, version in ((bentos[1], "letters-2"), (bentos[0], "letters-1"), (bentos[1], "letters-2")):
            row = put(store, built)
            assert (row.model, row.state) == (version, "live")
            served = len(load.models)
            until(lambda seen=served: len(load.models) > seen + 20)  # type: ignore[misc]
            assert set(load.models[served + 12 :]) == {version}  # those under way when it was done aside
    assert load.failures == []
    assert set(load.models) == {"letters-1", "letters-2"}
    assert set(load.ids) <= set(recorded(state))
    states = [d.state for d in ledger.history(store)]
    assert states.count("live") == 1
    assert "requested" not in states


def test_deploying_what_serves_changes_nothing(store: ProjectStore, bentos: list[Built], live: str) -> None:
    before = ledger.history(store)
    assert put(store, bentos[0]) == ledger.serving(store)
    assert ledger.history(store) == before


def damage(tag: str, how: str) -> str:
    """A copy of the Bento that cannot serve; its tag."""
    import shutil

    name = tag.split(":")[0]
    folder = bento.model_folder_of(tag).parents[1]
    target = folder.with_name(f"letters-9-{how}")
    shutil.copytree(folder, target, dirs_exist_ok=True)
    model = target / "src" / "model"
    if how == "cut":
        data = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "gone":
        shutil.rmtree(model)
    else:
        text = json.loads((model / "model.json").read_text())
        text["examples"][0]["scores"] = [1.0, 0.0, 0.0]
        (model / "model.json").write_text(json.dumps(text))
    return f"{name}:letters-9-{how}"


@pytest.mark.parametrize(
    ("how", "reason"),
    [("cut", "cannot be loaded"), ("gone", "is not in"), ("other", "gives other answers here than where it was made")],
)
def test_a_bad_model_is_refused_and_the_old_one_goes_on(
    endpoint: Served, store: ProjectStore, bentos: list[Built], secret: str, live: str, how: str, reason: str
) -> None:
    before = ledger.serving(store)
    with clients(endpoint.url, secret, count=2) as load, pytest.raises(DeploymentFailed, match=reason):
        deploy(store, "letters-9", damage(bentos[0].tag, how), "a test", 60, now(), lambda _: None)
    assert load.failures == []
    assert set(load.models) == {live}
    assert ledger.serving(store) == before
    failed = ledger.history(store)[-1]
    assert failed.state == "failed"
    assert reason in (failed.reason or "")
    assert "\n" not in (failed.reason or "")


def test_workers_that_do_not_answer_in_time(endpoint: Served, store: ProjectStore, bentos: list[Built], live: str) -> None:
    worker = endpoint.workers()[0]
    worker.suspend()
    try:
        with pytest.raises(
            DeploymentFailed, match=rf"1 of 2 workers of the endpoint did not serve letters-2 in time.* {worker.pid}"
        ):
            put(store, bentos[1], seconds=4)
    finally:
        worker.resume()
    assert [d.state for d in ledger.history(store)[-1:]] == ["failed"]
    assert (serving := ledger.serving(store)) is not None
    assert serving.model == live


def test_without_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bentos: list[Built]) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    heartbeat.write(tmp_path / "serving", now(), {})
    [path] = (tmp_path / "serving").iterdir()
    entry = json.loads(path.read_text())
    path.write_text(json.dumps(entry | {"created": entry["created"] - 100}))  # another process had this id
    with pytest.raises(DeploymentFailed, match="the endpoint is not running: start it with ml-assets up"):
        put(ProjectStore(PROJECT), bentos[0])
    assert ledger.history(ProjectStore(PROJECT)) == []
    heartbeat.forget_dead(tmp_path / "serving", now())
    assert list((tmp_path / "serving").iterdir()) == []


def test_a_killed_worker_loses_no_prediction_and_comes_back(
    endpoint: Served, store: ProjectStore, secret: str, live: str, state: Path
) -> None:
    with clients(endpoint.url, secret) as load:
        until(lambda: len(load.ids) > 50)
        victim = endpoint.workers()[0]
        os.kill(victim.pid, signal.SIGKILL)
        seen = len(load.ids)
        until(lambda: len(load.ids) > seen + 50)
    assert len(load.failures) <= 6  # the requests that it was working on, one for each client
    assert set(load.models) == {live}
    answered = set(load.ids)
    assert len(answered) == len(load.ids)
    assert answered <= set(recorded(state))
    until(lambda: len(heartbeat.live(state / "serving", now())) == 2 and len(endpoint.workers()) == 2)
    assert victim.pid not in {w.pid for w in heartbeat.live(state / "serving", now())}
    # one that has just begun tells of each project as soon as it is loaded
    until(
        lambda: all(
            PROJECT in r.projects and r.projects[PROJECT].model == live for r in heartbeat.live(state / "serving", now())
        )
    )


def test_the_heartbeat_of_this_process(tmp_path: Path) -> None:
    served = {PROJECT: heartbeat.Served("letters-1", "letters-d1", ("letters-d1", "letters-d2"), "letters-d2", "it is damaged")}
    at = now()
    heartbeat.write(tmp_path, at, served)
    [report] = heartbeat.live(tmp_path, at)
    assert (report.pid, report.at, report.projects) == (psutil.Process().pid, at, served)
    assert heartbeat.live(tmp_path, at.replace(year=at.year + 1)) == []  # it stopped writing
    heartbeat.remove(tmp_path)
    assert heartbeat.live(tmp_path, at) == []
