"""Whether a model may serve."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_assets.features import feature_set as sets
from ml_assets.features.feature_set import FeatureSet
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.ledger import serving_model
from ml_assets.store.schemas import rows
from ml_assets.tasks import Metric
from ml_assets.training import evaluation as evaluations
from ml_assets.training.architectures import MLP
from ml_assets.training.candidates import Candidate
from ml_assets.training.candidates import save as save_candidates
from ml_assets.training.checks import training_checks
from ml_assets.training.data import split_data
from ml_assets.training.evaluation import Evaluation, evaluate, flat, save
from ml_assets.training.registration import train_model
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.trained_model import TrainedModel

from .topics import AT, CLASSES, QUICK, SETTINGS, TASK, fill

WEAK = MLP(epochs=1, hidden=4, learning_rate=1e-5, dropout=0.0)


@pytest.fixture
def chosen(store: ProjectStore) -> FeatureSet:
    return fill(store, test=90, noise=0.3)


def made(store: ProjectStore, tracker: Tracker, chosen: FeatureSet, architecture: MLP, number: int = 1) -> str:
    """The version of a model that was really trained and registered."""
    data = split_data(store, chosen, Text(), TASK, architecture, "train")
    at = AT + timedelta(minutes=number)
    row = train_model(
        store, chosen, data, architecture, Text(), TASK, number, f"st-{number}", "1", tracker, at, lambda *_: None
    )
    listed = [(Candidate(chosen, architecture, row["study"]), 0.5, row["id"])]
    save_candidates(store, listed, None, at)
    return str(row["id"])


def judged(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, model: str, settings: TrainingSettings = SETTINGS
) -> Evaluation:
    return evaluate(store, model, chosen, Text(), TASK, settings, tracker)


def serve(store: ProjectStore, model: str, state: str = "live", number: int = 1) -> None:
    at = AT + timedelta(hours=number)
    row = {"id": f"{store.project}-d{number}", "model": model, "bento": "b", "state": state, "live_at": at, "requested_at": at}
    store.table("deployments").upsert(rows("deployments", [row]))


def pretend(store: ProjectStore, chosen: FeatureSet, model: str, right: int) -> None:
    """Test predictions of a model that is right on so many samples and else says the next class."""
    test = [r for r in chosen.rows.to_pylist() if r["split"] == "test"]
    values = [
        {"id": f"{model}/{r['id']}", "model": model, "sample_id": r["id"], "target": r["target"], "confidence": 0.9,
         "scores": "{}", "label": r["target"] if n < right else CLASSES[(CLASSES.index(r["target"]) + 1) % 3]}
        for n, r in enumerate(test)
    ]  # fmt: skip
    store.table("test_predictions").upsert(rows("test_predictions", values))


def test_a_good_model_passes_and_a_weak_one_does_not(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    good, weak = made(store, tracker, chosen, QUICK, 1), made(store, tracker, chosen, WEAK, 2)
    high = SETTINGS.model_copy(update={"minimum": {"macro_f1": 0.9, "accuracy": 0.9}})
    found = judged(store, tracker, chosen, good, high)
    assert found.passed, found.reasons
    assert (found.samples, found.against, found.difference, found.reasons) == (90, None, None, ())
    assert set(found.metrics) == {"accuracy", "macro_f1"}
    failed = judged(store, tracker, chosen, weak, high)
    assert not failed.passed
    value = failed.metrics["macro_f1"].value
    assert f"macro_f1 is {value:.4f}, below the minimum 0.9" in failed.reasons
    assert len(failed.reasons) == 2
    kept = store.table("test_predictions").read(where=f"model = '{good}'").to_pylist()
    assert {r["sample_id"]: r["label"] for r in kept} == dict(
        zip(split_data(store, chosen, Text(), TASK, QUICK, "test").ids, found.predicted, strict=True)
    )
    assert all(max(scores := json.loads(r["scores"]), key=scores.get) == r["label"] for r in kept)


@pytest.mark.parametrize(
    ("right", "serving", "may_drop", "passes"),
    [
        (80, 80, 0.0, True),  # equal
        (85, 80, 0.0, True),
        (79, 80, 0.05, True),  # a little worse, within what may be lost
        (79, 80, 0.0, False),  # a little worse
        (77, 80, 0.02, False),  # a drop of more than allowed, though chance could explain it
        (60, 80, 0.5, False),  # much worse: beyond chance, whatever may be lost
    ],
)
def test_worse_than_what_serves_is_blocked(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, right: int, serving: int, may_drop: float, passes: bool
) -> None:
    pretend(store, chosen, "new", right)
    pretend(store, chosen, "old", serving)
    pretend(store, chosen, "older", 90)
    serve(store, "older", "replaced", 1)
    serve(store, "old", "live", 2)
    found = judged(store, tracker, chosen, "new", SETTINGS.model_copy(update={"may_drop": may_drop}))
    assert found.against == "old" == serving_model(store)
    assert found.passed == passes, found.reasons
    assert found.difference is not None
    assert found.difference.value == pytest.approx(
        found.metrics["macro_f1"].value - judged(store, tracker, chosen, "old").metrics["macro_f1"].value
    )
    assert all("old" in reason and "new" not in reason for reason in found.reasons)
    assert len(found.reasons) <= 1


def test_what_serves_is_not_compared_with_itself(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    pretend(store, chosen, "old", 80)
    serve(store, "old")
    found = judged(store, tracker, chosen, "old")
    assert (found.passed, found.against, found.difference) == (True, "old", None)


def test_a_serving_model_with_other_classes_is_compared_all_the_same(store: ProjectStore, tracker: Tracker) -> None:
    whole = fill(store, test=90, noise=0.3)
    old = made(store, tracker, whole, QUICK, 1)
    serve(store, old)
    settings = FeaturesSettings(merge={"other": ("law", "sport")})
    merged, recipe = sets.choose(store.table("dataset").read(tag="ds-1"), "ds-1", settings, TASK, "minilm")
    sets.save(store, [(merged, recipe)], AT)
    found = judged(store, tracker, merged, made(store, tracker, merged, QUICK, 2))
    assert found.passed, found.reasons
    assert found.difference is not None
    assert found.difference.value > 0.3, "the old one never says `other`"
    assert set(found.targets) == {"art", "other"}


def test_without_test_samples_nothing_may_serve(store: ProjectStore, tracker: Tracker) -> None:
    chosen = fill(store, test=0)
    found = judged(store, tracker, chosen, "new")
    assert (found.passed, found.reasons, found.metrics) == (False, ("there are no labelled test samples",), {})
    save(store, found, chosen.dataset, AT)
    [row] = store.table("evaluations").read().to_pylist()
    assert (row["passed"], row["reason"], row["metrics"]) == (False, "there are no labelled test samples", "{}")


def test_a_nan_is_below_every_minimum(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(store, chosen, "new", 80)
    nothing = Metric(float("nan"), float("nan"), float("nan"))
    monkeypatch.setattr(type(TASK), "metrics", lambda *_: {"accuracy": nothing, "macro_f1": nothing})
    assert judged(store, tracker, chosen, "new").reasons == ("macro_f1 is nan, below the minimum 0.5",)


def test_predictions_are_made_once_and_for_new_test_samples_only(
    store: ProjectStore, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = fill(store, test=30)
    model = made(store, tracker, chosen, QUICK)
    asked: list[int] = []
    predict = TrainedModel.predict_inputs
    monkeypatch.setattr(TrainedModel, "predict_inputs", lambda self, v: asked.append(len(v)) or predict(self, v))
    judged(store, tracker, chosen, model)
    judged(store, tracker, chosen, model)
    assert asked == [30]
    found = judged(store, tracker, fill(store, test=45), model)
    assert asked == [30, 15]
    assert found.samples == 45


def corrected(store: ProjectStore, chosen: FeatureSet, options: FeaturesSettings | None = None) -> tuple[FeatureSet, str, str]:
    """The next feature set, for which one test label was corrected and one test sample is gone; the ids of these two."""
    listed = sorted(store.table("dataset").read(tag=chosen.dataset).to_pylist(), key=lambda row: row["id"])
    first, second = (row["id"] for row in [row for row in listed if row["split"] == "test" and row["value"] == "art"][:2])
    kept = [row | ({"value": "law"} if row["id"] == first else {}) for row in listed if row["id"] != second]
    dataset = rows("dataset", kept)
    store.table("dataset").replace(dataset, "ds-2")
    made, recipe = sets.choose(dataset, "ds-2", options or FeaturesSettings(), TASK, "minilm")
    sets.save(store, [(made, recipe)], AT + timedelta(days=1))
    return made, first, second


def test_predictions_follow_the_test_labels_as_they_are_now_also_those_of_the_model_that_serves(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet
) -> None:
    serving, replaced = made(store, tracker, chosen, QUICK, 1), made(store, tracker, chosen, WEAK, 2)
    judged(store, tracker, chosen, serving)
    judged(store, tracker, chosen, replaced)
    serve(store, serving)
    before = {row["id"]: row for row in store.table("test_predictions").read().to_pylist()}
    after, changed, gone = corrected(store, chosen)
    judged(store, tracker, after, made(store, tracker, after, QUICK, 3))
    for model in (serving, replaced):
        stored = store.table("test_predictions").read(where=f"model = '{model}'").to_pylist()
        assert {r["sample_id"]: r["target"] for r in stored} == {
            r["id"]: r["target"] for r in after.rows.to_pylist() if r["split"] == "test"
        }
        assert {r["id"]: r["label"] for r in stored} == {r["id"]: before[r["id"]]["label"] for r in stored}
        assert before[f"{model}/{changed}"]["target"] == "art"
        assert f"{model}/{gone}" in before
    version = store.table("test_predictions")._open().version
    judged(store, tracker, after, serving)
    assert store.table("test_predictions")._open().version == version  # nothing moved, nothing is written


def test_each_model_is_compared_with_labels_of_its_own_classes(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet
) -> None:
    serving = made(store, tracker, chosen, QUICK, 1)
    judged(store, tracker, chosen, serving)
    serve(store, serving)
    merged, changed, _ = corrected(store, chosen, FeaturesSettings(merge={"other": ("art", "law")}))
    judged(store, tracker, merged, made(store, tracker, merged, QUICK, 2))
    stored = store.table("test_predictions").read(where=f"model = '{serving}'").to_pylist()
    assert {r["target"] for r in stored} == set(CLASSES)
    assert {r["sample_id"]: r["target"] for r in stored}[changed] == "law"


def test_what_is_written_down(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    pretend(store, chosen, "new", 70)
    pretend(store, chosen, "old", 80)
    serve(store, "old")
    done = judged(store, tracker, chosen, "new")
    save(store, done, chosen.dataset, AT)
    [row] = store.table("evaluations").read().to_pylist()
    assert (row["id"], row["model"], row["dataset"], row["samples"], row["passed"], row["against"]) == (
        "new",
        "new",
        "ds-1",
        90,
        False,
        "old",
    )
    metrics = json.loads(row["metrics"])
    assert metrics == flat(done.metrics)
    assert metrics["macro_f1_interval"][0] < metrics["macro_f1"] < metrics["macro_f1_interval"][1]
    assert np.isclose(
        json.loads(row["difference"])["value"],
        metrics["macro_f1"] - judged(store, tracker, chosen, "old").metrics["macro_f1"].value,
    )
    assert row["reason"] == "; ".join(done.reasons)


def check(name: str, project: str) -> Any:
    from ml_assets.orchestration.resources import Workspace

    [found] = [c for c in training_checks(project, SETTINGS, Text()) if c.check_key.name == name]
    return found(workspace=Workspace())


def test_the_check_asks_for_the_model_that_was_chosen(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    assert check("good_enough", store.project).description == "the chosen model has not been evaluated"
    good = made(store, tracker, chosen, QUICK, 1)
    save(store, judged(store, tracker, chosen, good), "ds-1", AT)
    assert check("good_enough", store.project).passed
    weak = made(store, tracker, chosen, WEAK, 2)
    assert not check("good_enough", store.project).passed
    save(store, judged(store, tracker, chosen, weak), "ds-1", AT)
    found = check("good_enough", store.project)
    assert (found.passed, "below the minimum" in found.description) == (False, True)


def test_a_test_sample_in_training_is_seen(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    assert not check("no_test_sample_seen", store.project).passed, "there is no model"
    made(store, tracker, chosen, QUICK)
    assert check("no_test_sample_seen", store.project).passed
    [moved, *_] = [r["id"] for r in chosen.rows.to_pylist() if r["split"] == "train"]
    store.table("samples").upsert(rows("samples", [{"id": moved, "text": "x", "split": "test"}]))
    assert not check("no_test_sample_seen", store.project).passed


def test_a_metric_that_the_task_does_not_have_is_said(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    pretend(store, chosen, "new", 70)
    with pytest.raises(ValueError, match=r"training\.minimum names 'f1': choose one of accuracy, macro_f1"):
        judged(store, tracker, chosen, "new", SETTINGS.model_copy(update={"minimum": {"f1": 0.5}}))


def test_no_folder_is_left_behind(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations.tempfile, "tempdir", str(tmp_path))
    judged(store, tracker, chosen, made(store, tracker, chosen, QUICK))
    assert list(tmp_path.glob("tmp*")) == []
