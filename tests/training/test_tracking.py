"""Runs in a real MLflow: batches of curves, files, versions, and what is said when nobody answers."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ml_assets.training import tracking
from ml_assets.training.tracking import TrackedRun, Tracker, TrackingRefused, TrackingUnavailable


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
    assert tracker.run_url("r1") == f"{tracker.uri}/#/experiments/{first}/runs/r1?workflowType=machine_learning"


# ---- it dies in the middle of a step ----


class Dying:
    """Passes everything on to a real tracking store, and from some moment on answers nothing."""

    def __init__(self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch, how: str):
        self.tracker, self.how = tracker, how
        self.patch = monkeypatch
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def die(self) -> None:
        """From now on the tracker and its runs talk to a server that is gone, hangs up, or is silent."""
        if self.how != "gone":
            self.socket.listen(100)
        if self.how == "hangs up":
            threading.Thread(target=self._hang_up, daemon=True).start()
        away = tracking._client(self.uri)
        self.patch.setattr(tracking, "_client", lambda uri: away)
        self.tracker.uri = self.uri

    def _hang_up(self) -> None:
        with suppress(OSError):
            while True:
                self.socket.accept()[0].close()


@pytest.fixture(params=["gone", "hangs up", "silent"])
def dying(request: pytest.FixtureRequest, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dying]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)  # MLflow sets it when a model is registered
    made = Dying(tracker, monkeypatch, request.param)
    yield made
    made.socket.close()


def sentence(dying: Dying) -> str:
    if dying.how == "silent":
        return f"MLflow at {dying.uri} is silent: see its log, or try again"
    return f"MLflow does not answer at {dying.uri}: it is the server that MLFLOW_TRACKING_URI names, and not started from here"


def leave(run: TrackedRun, dying: Dying) -> None:
    """The run talks to the dead server from now on, as it would if its own had died."""
    dying.die()
    run.client, run.uri = dying.tracker.client, dying.uri


ASKS: dict[str, Callable[[TrackedRun, Tracker, Path], object]] = {
    "metrics": lambda run, tracker, folder: run.metrics({"loss": 1.0}),
    "params": lambda run, tracker, folder: run.params({"epochs": 1}),
    "file": lambda run, tracker, folder: run.file("test/a.txt", b"x"),
    "end": lambda run, tracker, folder: run.end("FINISHED"),
    "next_version": lambda run, tracker, folder: tracker.next_version(),
    "register": lambda run, tracker, folder: tracker.register(run, folder),
    "download": lambda run, tracker, folder: tracker.download("reviews-1", folder),
    "set_champion": lambda run, tracker, folder: tracker.set_champion("reviews-1"),
    "again": lambda run, tracker, folder: tracker.run("a", {}, {}, again=run.id).__enter__(),
}


def test_whatever_is_asked_when_it_has_died_is_one_sentence(tracker: Tracker, dying: Dying, tmp_path: Path) -> None:
    with tracker.run("a", {}, {}) as run:
        pass
    leave(run, dying)
    for name, ask in ASKS.items():
        with pytest.raises(TrackingUnavailable) as caught:
            ask(run, tracker, tmp_path)
        assert str(caught.value) == sentence(dying), name


def test_a_run_during_which_it_dies_fails_with_that_sentence(tracker: Tracker, dying: Dying) -> None:
    with pytest.raises(TrackingUnavailable) as caught, tracker.run("a", {}, {}) as run:  # noqa: PT012
        leave(run, dying)
        run.curve(0, {"loss": 1.0})
    assert str(caught.value) == sentence(dying)


def test_what_went_wrong_first_is_what_is_read(tracker: Tracker, dying: Dying) -> None:
    with pytest.raises(ValueError, match=r"^no class is left$"), tracker.run("a", {}, {}) as run:  # noqa: PT012
        leave(run, dying)
        raise ValueError("no class is left")


def test_a_server_that_is_silent_from_the_beginning_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PROBE_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://user:hush@127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingUnavailable, match="is silent: see its log, or try again") as caught:
            Tracker("reviews", uri).experiment_id  # noqa: B018
    assert "hush" not in str(caught.value)


def test_what_it_refuses_is_one_sentence(tracker: Tracker) -> None:
    with pytest.raises(TrackingRefused, match=r"^MLflow at sqlite:\S+ refuses: .*not found") as caught:
        tracker.set_champion("reviews-77")
    assert "\n" not in str(caught.value)
