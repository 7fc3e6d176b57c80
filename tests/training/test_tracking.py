"""Runs in a real MLflow: batches of curves, files, versions, and what is said when nobody answers."""

import socket
from pathlib import Path

import pytest

from ml_assets.training import tracking
from ml_assets.training.tracking import Tracker, TrackingUnavailable


def test_a_run_keeps_every_point_in_few_calls(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    with tracker.run("many", {"epochs": 2500}, {"dataset": "ds-1"}) as run:
        send = run.client.log_batch
        monkeypatch.setattr(run.client, "log_batch", lambda *a, **k: calls.append(1) or send(*a, **k))
        for step in range(2500):
            run.curve(step, {"loss": 1 / (step + 1)})
    assert len(calls) < 12
    curve = tracker.client.get_metric_history(run.id, "loss")
    assert sorted(point.step for point in curve) == list(range(2500))
    found = tracker.client.get_run(run.id)
    assert (found.info.status, found.info.run_name, found.data.params) == ("FINISHED", "many", {"epochs": "2500"})


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_block_that_raises_is_a_failed_run(tracker: Tracker, error: BaseException) -> None:
    with pytest.raises(type(error)), tracker.run("broken", {}, {}) as run:
        raise error
    assert tracker.client.get_run(run.id).info.status == "FAILED"


def test_a_run_goes_on_under_its_old_name(tracker: Tracker) -> None:
    with tracker.run("first", {"a": 1}, {}) as first:
        first.metrics({"x": 1.0})
    with tracker.run("first", {"a": 1}, {}, again=first.id) as second:
        assert tracker.client.get_run(first.id).info.status == "RUNNING"
    assert second.id == first.id
    assert tracker.client.get_run(first.id).data.metrics == {"x": 1.0}
    tracker.client.delete_run(first.id)
    for gone in (first.id, "0" * 32):
        with tracker.run("first", {"a": 1}, {}, again=gone) as new:
            assert new.id not in (first.id, gone)


def test_files_and_figures_are_added_to_a_run_that_ended(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run("a", {}, {}) as run:
        pass
    again = tracker.existing(run.id)
    again.file("test/picture.png", b"\x89PNG")
    again.metrics({"test_macro_f1": 0.5})
    assert [f.path for f in tracker.client.list_artifacts(run.id, "test")] == ["test/picture.png"]
    assert tracker.client.get_run(run.id).data.metrics == {"test_macro_f1": 0.5}


def test_nobody_answers_is_one_sentence_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    away = Tracker("reviews", uri)
    for ask in (lambda: away.experiment_id, away.next_version, lambda: away.run("a", {}, {}).__enter__()):
        with pytest.raises(TrackingUnavailable) as caught:
            ask()
        assert str(caught.value) == f"MLflow does not answer at {uri}: start it with `ml-assets up`"


def test_a_project_has_one_experiment(tracker: Tracker) -> None:
    tracking._experiment.cache_clear()
    first = tracker.experiment_id
    tracking._experiment.cache_clear()
    assert Tracker(tracker.project, tracker.uri).experiment_id == first
    assert tracker.run_url("r1") == f"{tracker.uri}/#/experiments/{first}/runs/r1"
