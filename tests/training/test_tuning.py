"""A study in a real MLflow: its trials are nested runs with curves, and it goes on where it was interrupted."""

from pathlib import Path
from typing import Any

import pytest

from ml_assets.training import tuning
from ml_assets.training.architectures import MLP
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import Study, describe, study_id, tune

from .topics import CLASSES, QUICK, SETTINGS, TASK, examples

TAGS = {"dataset": "ds-1", "feature_set": "fs-1", "code": "test"}


def study(tracker: Tracker, journal: Path, settings: TrainingSettings = SETTINGS, told: list[Any] | None = None) -> Study:
    name = study_id("fs-1", settings)
    report = (lambda *values: told.append(values)) if told is not None else (lambda *values: None)
    return tune(name, examples(), CLASSES, TASK, settings, tracker, TAGS, journal, report)


def what_was_tried(found: Study) -> list[dict[str, Any]]:
    return [{k: v for k, v in trial.items() if k != "run_id"} for trial in found.trials]


def test_trials_are_nested_runs_with_curves_and_the_best_one_wins(tracker: Tracker, tmp_path: Path) -> None:
    told: list[Any] = []
    found = study(tracker, tmp_path / "optuna" / "journal.log", told=told)
    assert [t["number"] for t in found.trials] == [0, 1, 2]
    assert {k: found.trials[0][k] for k in describe(QUICK)} == describe(QUICK), "the first one is what the YAML says"
    assert len({str(describe_trial(t)) for t in found.trials}) == 3
    assert [(n, of) for n, of, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert [score for *_, score in told] == [t["score"] for t in found.trials]
    assert found.score == max(t["score"] for t in found.trials)
    best = next(t for t in found.trials if t["score"] == found.score)
    assert describe(found.best) == describe_trial(best)

    client = tracker.client
    parent = client.get_run(found.run_id)
    assert (parent.info.status, parent.data.metrics["best_validation_macro_f1"]) == ("FINISHED", found.score)
    children = client.search_runs([tracker.experiment_id], f"tags.`mlflow.parentRunId` = '{found.run_id}'")
    assert {run.info.run_id for run in children} == {t["run_id"] for t in found.trials}
    for trial in found.trials:
        run = client.get_run(trial["run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.tags.items() >= TAGS.items()
        assert run.data.params == {k: str(v) for k, v in describe_trial(trial).items()}
        assert run.data.metrics["validation_macro_f1"] == pytest.approx(trial["score"])
        for name in ("train_loss", "learning_rate"):
            curve = client.get_metric_history(trial["run_id"], name)
            assert sorted(point.step for point in curve) == list(range(trial["epochs"]))
        assert {"val_loss", "val_accuracy"} <= run.data.metrics.keys()


def describe_trial(trial: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in trial.items() if k not in ("number", "score", "run_id")}


def test_a_finished_study_is_not_run_again(tracker: Tracker, tmp_path: Path) -> None:
    first = study(tracker, tmp_path / "journal.log")
    runs = tracker.client.search_runs([tracker.experiment_id])
    told: list[Any] = []
    assert study(tracker, tmp_path / "journal.log", told=told) == first
    assert told == []
    assert len(tracker.client.search_runs([tracker.experiment_id])) == len(runs) == 4


@pytest.mark.parametrize("trial", [0, 1, 2])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, "kill -9"])
def test_an_interrupted_study_ends_with_the_same_trials(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: int, kind: Any
) -> None:
    undisturbed = study(tracker, tmp_path / "undisturbed.log")
    journal, fit, calls = tmp_path / "journal.log", tuning.fit, [0]

    def die(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == trial + 1:
            if kind == "kill -9":  # nothing more is written to the journal: the trial stays open in it
                (tmp_path / "killed.log").write_bytes(journal.read_bytes())
                raise KeyboardInterrupt
            raise kind
        return fit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "fit", die)
        with pytest.raises(KeyboardInterrupt if kind == "kill -9" else kind):
            study(tracker, journal)
    if kind == "kill -9":
        journal = tmp_path / "killed.log"
    told: list[Any] = []
    resumed = study(tracker, journal, told=told)
    assert what_was_tried(resumed) == what_was_tried(undisturbed)
    assert (resumed.best, resumed.score) == (undisturbed.best, undisturbed.score)
    assert [(n, of) for n, of, _ in told] == [(n, 3) for n in range(trial + 1, 4)], "only what was missing"
    parents = {tracker.client.get_run(t["run_id"]).data.tags["mlflow.parentRunId"] for t in resumed.trials}
    assert parents == {resumed.run_id}
    assert tracker.client.get_run(resumed.run_id).info.status == "FINISHED"


def test_more_trials_are_a_study_of_their_own_and_start_alike(tracker: Tracker, tmp_path: Path) -> None:
    more = SETTINGS.model_copy(update={"trials": 4})
    few, many = study(tracker, tmp_path / "journal.log"), study(tracker, tmp_path / "journal.log", more)
    assert few.id != many.id
    assert what_was_tried(many)[:3] == what_was_tried(few)


def test_what_names_a_study() -> None:
    """The gate does not count: another minimum does not train again."""
    gate = SETTINGS.model_copy(update={"minimum": {"accuracy": 0.99}, "may_drop": 0.5})
    assert study_id("fs-1", gate) == study_id("fs-1", SETTINGS)
    others = [
        SETTINGS.model_copy(update=u) for u in ({"seed": 1}, {"trials": 9}, {"architecture": MLP()}, {"validation_share": 0.3})
    ]
    assert len({study_id("fs-1", s) for s in [SETTINGS, *others]} | {study_id("fs-2", SETTINGS)}) == 6
