"""A study in a real MLflow: its trials are nested runs with curves, and it goes on where it was interrupted."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ml_assets.modalities import Text
from ml_assets.training import fit as fitting
from ml_assets.training import tuning
from ml_assets.training.architectures import MLP, Architecture
from ml_assets.training.journal import Journal
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import Study, Trial, describe, study_id, tune

from .topics import CLASSES, QUICK, SETTINGS, TASK, examples

TAGS = {"dataset": "ds-1", "feature_set": "fs-1", "code": "test"}
ENCODER = Text().encoder("minilm")


def study(
    tracker: Tracker,
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    told: list[Trial] | None = None,
    epochs: list[tuple[int, int]] | None = None,
) -> Study:
    architecture = settings.architecture
    name = study_id("fs-1", architecture, settings)

    def on_epoch(trial: int, epoch: int, _: Mapping[str, float]) -> None:
        if epochs is not None:
            epochs.append((trial, epoch))

    return tune(
        name, examples(), ENCODER, CLASSES, TASK, architecture, settings, tracker, TAGS, folder,
        (told if told is not None else []).append, on_epoch,
    )  # fmt: skip


def what_was_tried(found: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.architecture, t.score, t.ended, t.curve) for t in found.trials]


def test_trials_are_nested_runs_with_curves_and_the_best_one_wins(tracker: Tracker, tmp_path: Path) -> None:
    told: list[Trial] = []
    epochs: list[tuple[int, int]] = []
    found = study(tracker, tmp_path / "optuna", told=told, epochs=epochs)
    assert [t.number for t in found.trials] == [0, 1, 2]
    assert found.trials[0].architecture == QUICK, "the first one is what the YAML says"
    assert len({t.architecture.model_dump_json() for t in found.trials}) == 3
    assert told == found.trials
    assert epochs == [(t.number, epoch) for t in found.trials for epoch in range(QUICK.epochs)]
    assert {t.ended for t in found.trials} == {"finished"}
    assert found.score == max(t.score for t in found.trials if t.score is not None)
    assert found.best == next(t.architecture for t in found.trials if t.score == found.score)

    client = tracker.client
    parent = client.get_run(found.run_id)
    assert (parent.info.status, parent.data.metrics["best_validation_macro_f1"]) == ("FINISHED", found.score)
    children = client.search_runs([tracker.experiment_id], f"tags.`mlflow.parentRunId` = '{found.run_id}'")
    assert {run.info.run_id for run in children} == {t.run_id for t in found.trials}
    for trial in found.trials:
        run = client.get_run(trial.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags.items() >= (TAGS | {"ended": "finished"}).items()
        assert run.data.params == {k: str(v) for k, v in describe(trial.architecture).items()}
        assert run.data.metrics["validation_macro_f1"] == pytest.approx(trial.score)
        for name in ("train_loss", "learning_rate"):
            curve = client.get_metric_history(trial.run_id, name)
            assert sorted(point.step for point in curve) == list(range(QUICK.epochs))
        assert {"val_loss", "val_accuracy"} <= run.data.metrics.keys()


def test_a_finished_study_is_not_run_again(tracker: Tracker, tmp_path: Path) -> None:
    first = study(tracker, tmp_path)
    runs = tracker.client.search_runs([tracker.experiment_id])
    told: list[Trial] = []
    assert study(tracker, tmp_path, told=told) == first
    assert told == []
    assert len(tracker.client.search_runs([tracker.experiment_id])) == len(runs) == 4


@pytest.mark.parametrize("trial", [0, 1, 2])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, "kill -9"])
def test_an_interrupted_study_ends_with_the_same_trials(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: int, kind: Any
) -> None:
    undisturbed = study(tracker, tmp_path / "undisturbed")
    folder, fit, calls = tmp_path / "folder", tuning.fit, [0]

    def die(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == trial + 1:
            if kind == "kill -9":  # nothing more is written to the journal: the trial stays open in it
                (tmp_path / "killed").mkdir()
                (tmp_path / "killed" / "journal.log").write_bytes((folder / "journal.log").read_bytes())
                raise KeyboardInterrupt
            raise kind
        return fit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "fit", die)
        with pytest.raises(KeyboardInterrupt if kind == "kill -9" else kind):
            study(tracker, folder)
    if kind == "kill -9":
        folder = tmp_path / "killed"
    told: list[Trial] = []
    resumed = study(tracker, folder, told=told)
    assert what_was_tried(resumed) == what_was_tried(undisturbed)
    assert (resumed.best, resumed.score) == (undisturbed.best, undisturbed.score)
    assert [t.number for t in told] == list(range(trial, 3)), "only what was missing"
    parents = {tracker.client.get_run(t.run_id).data.tags["mlflow.parentRunId"] for t in resumed.trials}
    assert parents == {resumed.run_id}
    assert tracker.client.get_run(resumed.run_id).info.status == "FINISHED"
    children = tracker.client.search_runs([tracker.experiment_id], f"tags.`mlflow.parentRunId` = '{resumed.run_id}'")
    assert len(children) == 3, "the trial that was interrupted goes on in its own run"


PRUNING = SETTINGS.model_copy(
    update={"trials": 8, "architecture": MLP(epochs=24, hidden=16, dropout=0.1, learning_rate=1e-3), "seed": 3}
)


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def zeros_in_the_middle(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:-3], bytes(40) + b"\n", *lines[-3:]]))


DAMAGE: dict[str, Any] = {
    "zero bytes": (lambda file: file.write_bytes(bytes(file.stat().st_size)), "line 1 of 1 is damaged"),
    "half a line": (torn, "is damaged, so studies go on from the"),
    "zeros in the middle": (zeros_in_the_middle, "is damaged, so studies go on from the"),
    "a line by hand": (lambda file: file.write_bytes(b"not JSON\n" + file.read_bytes()), "line 1 of"),
    "no entry": (lambda file: file.write_bytes(b"[]\n" + file.read_bytes()), "line 1 of"),
    "an entry that says nothing": (lambda file: file.write_bytes(b'{"op_code":0}\n'), "Optuna cannot use it"),
    "an entry of another kind": (lambda file: file.write_bytes(b'{"op_code":99,"worker_id":"x"}\n'), "Optuna cannot use it"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_journal_is_put_aside_and_told_and_the_study_ends_all_the_same(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    folder = tmp_path / "optuna"
    settings = SETTINGS.model_copy(update={"trials": 2, "architecture": QUICK.model_copy(update={"epochs": 2})})
    first = study(tracker, folder, settings)
    break_, said = DAMAGE[damage]
    break_(folder / "journal.log")
    with caplog.at_level("WARNING"):
        again = study(tracker, folder, settings)
    assert what_was_tried(again) == what_was_tried(first)
    assert f"{folder / 'journal.log'} was put aside as journal.log.damaged" in caplog.text
    assert said in caplog.text
    assert (folder / "journal.log.damaged").exists()
    caplog.clear()
    told: list[Trial] = []
    assert what_was_tried(study(tracker, folder, settings, told)) == what_was_tried(first)
    assert (told, caplog.text) == ([], "")  # what was mended stays so


def test_an_empty_journal_is_a_new_one(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "journal.log").touch()
    assert Journal("st-1", tmp_path).run_id is None


@pytest.mark.parametrize("content", [b"", bytes(5000), b"PK\x03\x04 torn", b"not a checkpoint"])
def test_a_torn_checkpoint_is_put_aside_and_told_and_the_training_starts_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "x.ckpt"
    file.write_bytes(content)
    quick = QUICK.model_copy(update={"epochs": 2})
    whole, mended = (fitting.fit(quick, ENCODER, examples(), CLASSES, TASK, seed=0, checkpoint=place) for place in (None, file))
    assert all((a == b).all() for a, b in zip(whole.parameters(), mended.parameters(), strict=True))
    assert f"{file} was put aside as x.ckpt.damaged: it " in caplog.text
    assert "so the training starts anew" in caplog.text
    assert (tmp_path / "x.ckpt.damaged").read_bytes() == content


def test_trials_that_do_worse_are_ended_early(tracker: Tracker, tmp_path: Path) -> None:
    found = study(tracker, tmp_path / "pruning", PRUNING)
    pruned = [t for t in found.trials if t.ended == "pruned"]
    assert pruned
    assert all(t.score is None and 0 < len(t.curve) < 12 for t in pruned)
    assert all(t.score is not None and len(t.curve) == 12 for t in found.trials if t not in pruned)
    assert not {0, 1} & {t.number for t in pruned}, "there is nothing to compare the first ones with"
    assert tracker.client.get_run(pruned[0].run_id).data.tags["ended"] == "pruned"
    whole = study(tracker, tmp_path / "whole", PRUNING.model_copy(update={"prune": False}))
    assert {t.ended for t in whole.trials} == {"finished"}
    assert what_was_tried(whole)[: pruned[0].number] == what_was_tried(found)[: pruned[0].number]


@pytest.mark.parametrize(("trial", "epoch"), [(1, 20), (4, 1)])
def test_a_trial_that_was_killed_goes_on_inside_and_the_same_ones_are_pruned(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: int, epoch: int
) -> None:
    undisturbed = study(tracker, tmp_path / "undisturbed", PRUNING)
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    seen: list[tuple[int, int]] = []

    class Killed(RuntimeError):
        pass

    class Dying(list[tuple[int, int]]):
        def append(self, at: tuple[int, int]) -> None:
            seen.append(at)
            if at == (trial, epoch):
                raise Killed

    last = {t.number: len(t.curve) * 2 - 1 for t in undisturbed.trials}[trial]
    assert epoch <= last, "or else it would not come so far"
    with pytest.raises(Killed):
        study(tracker, tmp_path / "folder", PRUNING, epochs=Dying())
    again: list[tuple[int, int]] = []
    resumed = study(tracker, tmp_path / "folder", PRUNING, epochs=again)
    assert what_was_tried(resumed) == what_was_tried(undisturbed)
    assert again[0] == (trial, epoch), "the epochs before are not done again"
    assert (resumed.best, resumed.score) == (undisturbed.best, undisturbed.score)


def budget(minutes: float, epochs: int) -> TrainingSettings:
    architecture = MLP(epochs=epochs, hidden=16)
    return SETTINGS.model_copy(update={"architecture": architecture, "trials": 1000, "minutes": minutes, "prune": False})


def test_a_time_budget_is_kept_within_a_tenth(tracker: Tracker, tmp_path: Path) -> None:
    study(tracker, tmp_path / "warm")  # imports, and MLflow's first experiment
    options, began = budget(10 / 60, epochs=40), time.monotonic()
    found = study(tracker, tmp_path, options)
    assert 9 <= time.monotonic() - began <= 11
    assert len(found.trials) > 1
    assert found.trials[-1].ended in ("stopped", "finished"), "it may just have come to its end"
    assert all(t.ended == "finished" for t in found.trials[:-1])
    told: list[Trial] = []
    assert study(tracker, tmp_path, options, told=told).trials == found.trials
    assert told == [], "a budget that is spent is spent"


def test_a_first_trial_that_is_cut_off_is_better_than_none(tracker: Tracker, tmp_path: Path) -> None:
    found = study(tracker, tmp_path, budget(2 / 60, epochs=10_000))
    [trial] = found.trials
    assert (trial.ended, trial.score, found.best) == ("stopped", found.score, trial.architecture)


def test_more_trials_are_a_study_of_their_own_and_start_alike(tracker: Tracker, tmp_path: Path) -> None:
    more = SETTINGS.model_copy(update={"trials": 4})
    few, many = study(tracker, tmp_path), study(tracker, tmp_path, more)
    assert few.id != many.id
    assert what_was_tried(many)[:3] == what_was_tried(few)


def test_what_names_a_study() -> None:
    """The gate does not count: another minimum does not train again. Nor does what stands beside it."""

    def of(feature_set: str = "fs-1", architecture: Architecture = QUICK, **changed: Any) -> str:
        return study_id(feature_set, architecture, SETTINGS.model_copy(update=changed))

    assert of(minimum={"accuracy": 0.99}, may_drop=0.5, serve="mlp", compare=(MLP(),)) == of()
    others = [of(seed=1), of(trials=9), of(validation_share=0.3), of(minutes=3.0), of(prune=False), of("fs-2")]
    assert len({of(), of(architecture=MLP()), *others}) == 8
