"""What a worker of the endpoint reads back may be damaged: it is put aside and told, and the rest is served on."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from ml_assets.deployment import heartbeat
from ml_assets.deployment.worker import Worker
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore, ledger
from ml_assets.store.records import prediction_id
from ml_assets.store.schemas import rows

from .serving import make_model

AT = datetime(2026, 1, 2, tzinfo=UTC)
WHOLE = json.dumps(
    {"pid": 1, "created": 1.0, "boot": "b", "host": "h", "at": AT.isoformat(), "projects": {"a": {"prepared": []}}}
)
DAMAGED = ["", "{", "[]", "null", "7", '"x"', "\0" * 64, "[" * 100_000, WHOLE[:-9], WHOLE.replace('"b"', "[]"),
           WHOLE.replace('"pid": 1', '"pid": -1'), WHOLE.replace('"pid": 1', '"pid": "x"'), WHOLE.replace("2026", "20x6"),
           WHOLE.replace('"prepared"', '"other"'), WHOLE.replace("1.0", "null")]  # fmt: skip


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), "letters-1", 1)


@pytest.fixture
def deployed(own_home: Path) -> Iterator[list[str]]:
    """Two projects of which the ledgers say that something serves."""
    names = ["damaged", "letters"]
    for name in names:
        store = ProjectStore(name)
        ledger.mark(store, ledger.request(store, f"{name}-1", "a:b", "a test", AT), "live", AT)
    yield names
    shutil.rmtree(own_home / "store")


def served_by(home: Path, model: Path, polls: int = 1) -> set[str]:
    """The projects that a worker serves after so many polls."""

    async def run() -> set[str]:
        worker = Worker(home, None, lambda _: model)
        await worker.start()
        for _ in range(polls - 1):
            await worker.poll()
        serving = set(worker.live)
        await worker.stop()
        return serving

    return asyncio.run(run())


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_report_of_a_worker_keeps_nobody_from_starting(own_home: Path, content: str) -> None:
    serving = own_home / "serving"
    serving.mkdir()
    path = serving / "worker-4000000.json"
    path.write_text(content)
    assert heartbeat.live(serving, now()) == []
    assert heartbeat.forget_dead(serving, now()) == [path.with_suffix(".damaged")]
    assert path.with_suffix(".damaged").read_text() == content
    assert (list(serving.glob("worker-*.json")), heartbeat.live(serving, now())) == ([], [])


def test_a_worker_starts_beside_a_damaged_report_and_says_so(
    own_home: Path, model: Path, deployed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (own_home / "serving").mkdir()
    (own_home / "serving" / "worker-1.json").touch()
    assert served_by(own_home, model) == set(deployed)
    assert [record.message for record in caplog.records if "worker-1.damaged" in record.message]


def tear(home: Path, how: str) -> None:
    """Damage the ledger of one project."""
    table = home / "store" / "damaged" / "deployments.lance"
    versions = sorted((table / "_versions").iterdir())
    if how == "empty manifests":
        for path in versions:
            path.write_bytes(b"")
    elif how == "torn manifests":
        for path in versions:
            path.write_bytes(path.read_bytes()[:-7])
    elif how == "random manifests":
        for path in versions:
            path.write_bytes(os.urandom(path.stat().st_size))
    elif how == "no data":
        shutil.rmtree(table / "data")
    elif how == "empty data":
        for path in (table / "data").iterdir():
            path.write_bytes(b"")
    else:
        shutil.rmtree(table)
        table.write_text("no folder")


@pytest.mark.parametrize("how", ["empty manifests", "torn manifests", "random manifests", "no data", "empty data", "a file"])
def test_a_torn_ledger_of_one_project_leaves_the_others_served(
    own_home: Path, model: Path, deployed: list[str], caplog: pytest.LogCaptureFixture, how: str
) -> None:
    tear(own_home, how)
    assert served_by(own_home, model, polls=3) == {"letters"}
    told = [record.message for record in caplog.records if "ledger of damaged" in record.message]
    if how != "a file":  # which is no table, as of a project that was never deployed
        assert len(told) == 1, "once, as long as the reason is the same"


@pytest.mark.parametrize(
    "row",
    [
        {"id": "letters-d7", "model": "m", "bento": "a:b", "state": "paused"},
        {"id": "letters-d7", "model": None, "bento": "a:b", "state": "live"},
        {"id": "letters-d7", "model": "m", "bento": None, "state": "live"},
        {"id": "letters-d7", "model": "m", "bento": "a:b", "state": None},
        {"id": "letters-dx", "model": "m", "bento": "a:b", "state": "live"},
        {"id": "other", "model": "m", "bento": "a:b", "state": "live"},
    ],
)
def test_a_row_of_the_ledger_that_cannot_be_one_is_told_and_left_out(
    deployed: list[str], caplog: pytest.LogCaptureFixture, row: dict[str, str | None]
) -> None:
    store = ProjectStore("letters")
    store.table("deployments").upsert(rows("deployments", [row]))
    assert [d.id for d in ledger.history(store)] == ["letters-d1"]
    assert "is damaged and left out" in caplog.text
    assert ledger.request(store, "letters-2", "a:b", "a test", AT) == "letters-d2"


def test_a_worker_is_the_same_process_after_the_clock_was_set(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells when a process began by the clock: after that jumped, all seem to have begun at another time."""
    serving, real = own_home / "serving", psutil.Process.create_time
    heartbeat.write(serving, now(), {})
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) + 3600)
    assert [report.pid for report in heartbeat.live(serving, now())] == [os.getpid()]
    assert heartbeat.forget_dead(serving, now()) == []
    assert heartbeat.live(serving, now())


def test_another_process_with_the_number_of_a_dead_worker_is_no_worker(own_home: Path) -> None:
    serving = own_home / "serving"
    heartbeat.write(serving, now(), {})
    [path] = serving.iterdir()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        entry = json.loads(path.read_text())
        path.write_text(json.dumps(entry | {"pid": child.pid}))
        assert heartbeat.live(serving, now()) == []
    finally:
        child.communicate(b"\n")


def test_the_report_of_a_worker_of_the_version_before_is_read(own_home: Path) -> None:
    serving = own_home / "serving"
    heartbeat.write(serving, now(), {})
    [path] = serving.iterdir()
    entry = json.loads(path.read_text())
    path.write_text(json.dumps(entry | {"created": psutil.Process().create_time()}))
    assert [report.pid for report in heartbeat.live(serving, now())] == [os.getpid()]


@pytest.mark.parametrize("at", [datetime(1969, 1, 1, tzinfo=UTC), AT, datetime(9999, 1, 1, tzinfo=UTC)])
def test_predictions_have_an_id_of_the_one_form_whatever_the_clock_says(at: datetime) -> None:
    assert len({prediction_id(at), prediction_id(at + timedelta(seconds=1))}) == 2
    assert all(len(prediction_id(at)) == 32 and set(prediction_id(at)) <= set("0123456789abcdef") for _ in range(3))
