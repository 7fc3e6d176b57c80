"""From a feature set to evaluated models: the steps of all candidates, and what is missing for each."""

from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.errors import Missing
from ml_assets.features import feature_set as sets
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.training import studies
from ml_assets.training.candidates import save as save_candidates
from ml_assets.training.comparison import compared, evaluate_models
from ml_assets.training.registration import train_models
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker

from .topics import AT, QUICK, TASK, fill

SETTINGS = TrainingSettings(architecture=QUICK.model_copy(update={"epochs": 20}), trials=2)


def test_each_step_says_what_is_missing(store: ProjectStore, tracker: Tracker, tmp_path: Path) -> None:
    step = (store, Text(), TASK, SETTINGS, tracker)
    for make in (studies.run_studies, train_models):
        with pytest.raises(Missing, match=r"^there is no feature set yet: run the asset feature_set$"):
            make(*step, tmp_path, print, lambda: AT)
    chosen = fill(store)
    with pytest.raises(Missing, match=f"^there is no study of mlp on {chosen.id} yet: run the asset study$"):
        train_models(*step, tmp_path, print, lambda: AT)
    with pytest.raises(Missing, match=r"^there is no model yet: run the asset model$"):
        evaluate_models(*step, lambda: AT)


def test_a_candidate_goes_through_all_steps(store: ProjectStore, tracker: Tracker, tmp_path: Path) -> None:
    chosen, lines = fill(store), list[str]()
    step = (store, Text(), TASK, SETTINGS, tracker)
    [tuned] = done = studies.run_studies(*step, tmp_path, lines.append, lambda: AT)
    ended = [line for line in lines if " epoch " not in line]
    assert [line.rpartition(",")[0] for line in ended] == [
        f"mlp: trial {t.number + 1} of 2: validation macro_f1 {t.score:.4f}" for t in tuned.study.trials
    ]
    epochs = [line for line in lines if line.startswith("mlp: trial 1, epoch ")]
    assert [line.partition(":")[2].partition(":")[0] for line in epochs] == [
        f" trial 1, epoch {n} of 20" for n in range(2, 21, 2)
    ], "about ten lines"
    assert "train_loss " in epochs[0]
    table = studies.trials_table(done, TASK).splitlines()
    assert table[0] == "| candidate | trial | validation macro_f1 | hyper-parameters |"
    assert table[2].startswith(f"| mlp | 1 | {tuned.study.trials[0].score:.4f} | ")
    studies.save(store, done)
    [row] = store.table("studies").read().to_pylist()
    assert (row["id"], row["feature_set"], row["score"], row["at"]) == (tuned.study.id, chosen.id, tuned.study.score, AT)

    lines.clear()
    [made] = train_models(*step, tmp_path, lines.append, lambda: AT)
    assert lines[0].startswith("mlp: epoch 2 of 20: ")
    assert (made.row["id"], made.score, made.samples) == (f"{tracker.project}-1", tuned.study.score, 60)
    save_candidates(store, [(made.candidate, made.score, made.row["id"])], None, AT)
    [evaluated] = evaluate_models(*step, lambda: AT)
    assert evaluated.evaluation.samples == 30
    assert evaluated.evaluation.metadata()["model"] == made.row["id"]
    assert f"| mlp | {made.row['id']} | " in compared([evaluated], TASK).table
    assert store.table("evaluations").ids() == {made.row["id"]}

    settings = FeaturesSettings(merge={"other": ("law", "sport")})
    merged = sets.choose(store.table("dataset").read(tag="ds-1"), "ds-1", settings, TASK, "minilm")
    sets.save(store, [merged], AT + timedelta(days=1))
    with pytest.raises(Missing, match=r"^there is a new feature set: run the assets study and model on it first$"):
        evaluate_models(*step, lambda: AT)
