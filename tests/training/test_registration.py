"""From a feature set to a registered model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_assets.features import feature_set as sets
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.training import registration
from ml_assets.training.data import SplitData, split_data
from ml_assets.training.registration import train_model
from ml_assets.training.tracking import Tracker
from ml_assets.training.trained_model import TrainedModel
from ml_assets.training.tuning import describe

from .topics import AT, CLASSES, QUICK, TASK, examples, fill


def train(store: ProjectStore, tracker: Tracker, chosen: FeatureSet, **options: Any) -> dict[str, Any]:
    settings = {"architecture": QUICK, "seed": 0, "study": "st-1", "code": "1", "at": AT, **options}
    data = split_data(store, chosen, Text(), TASK, settings["architecture"], "train")
    epochs: list[tuple[int, Mapping[str, float]]] = []
    row = train_model(
        store, chosen, data, settings["architecture"], Text(), TASK,
        settings["seed"], settings["study"], settings["code"], tracker, settings["at"], lambda *told: epochs.append(told),
    )  # fmt: skip
    assert len(epochs) in (0, QUICK.epochs)
    return row


@pytest.fixture
def chosen(store: ProjectStore) -> FeatureSet:
    return fill(store)


def test_a_model_is_registered_with_all_that_explains_it(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, tmp_path: Path
) -> None:
    row = train(store, tracker, chosen)
    known = {"study": "st-1", "dataset": "ds-1", "feature_set": chosen.id, "encoder": "minilm", "code": "1"}
    made = {"classes": json.dumps(CLASSES), "architecture": json.dumps(describe(QUICK))}
    assert row == {**row, **known, **made, "id": f"{tracker.project}-1"}
    assert store.table("models").read().to_pylist() == [row]
    model = TrainedModel.load(tracker.download(row["id"], tmp_path))
    assert (model.version, model.classes, model.description["run_id"]) == (row["id"], list(CLASSES), row["run_id"])
    model.check_examples()
    assert len(model.description["examples"]) == registration.EXAMPLES
    train_texts = set(store.table("samples").read(["text"], "split = 'train'")["text"].to_pylist())
    assert {e["content"] for e in model.description["examples"]} <= train_texts
    run = tracker.client.get_run(row["run_id"])
    assert run.data.tags.items() >= {"dataset": "ds-1", "feature_set": chosen.id, "study": "st-1", "code": "1"}.items()
    assert run.data.params["samples"] == "60"
    assert len(tracker.client.get_metric_history(row["run_id"], "train_loss")) == QUICK.epochs
    unseen = examples(60, seed=7)
    assert np.mean([a == b for a, b in zip(model.predict_inputs(unseen.inputs).labels, unseen.values, strict=True)]) > 0.7


def test_the_model_is_what_mlflow_loads_by_its_alias(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    import mlflow

    row = train(store, tracker, chosen)
    tracker.set_champion(row["id"])
    mlflow.set_tracking_uri(tracker.uri)
    frame = mlflow.pyfunc.load_model(f"models:/{tracker.project}@champion").predict(["a painting", "  the law\r\n"])
    assert list(frame.columns) == ["label", "confidence", *CLASSES]
    assert np.allclose(frame[list(CLASSES)].sum(axis=1), 1, atol=1e-5)
    assert list(frame["label"]) == list(frame[list(CLASSES)].idxmax(axis=1))


def test_mlflow_loads_models_that_earlier_versions_registered(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, tmp_path: Path
) -> None:
    """They hold a copy of `pyfunc.py` that imports the class by the name that its module had."""
    import mlflow

    train(store, tracker, chosen)
    mlflow.set_tracking_uri(tracker.uri)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{tracker.project}/1", dst_path=str(tmp_path)))
    [copy] = folder.rglob("pyfunc.py")
    assert "from ml_assets.training.trained_model import TrainedModel" in copy.read_text()
    copy.write_text(copy.read_text().replace("ml_assets.training.trained_model", "ml_assets.training.trained"))
    assert len(mlflow.pyfunc.load_model(str(folder)).predict(["a painting", "the law"])) == 2


def test_the_same_again_is_the_model_that_is_there(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> None:
    first = train(store, tracker, chosen)
    assert train(store, tracker, chosen) == first
    assert store.table("models").count() == 1
    assert tracker.next_version() == 2
    others = [
        train(store, tracker, chosen, **o)
        for o in ({"code": "2"}, {"study": "st-2"}, {"architecture": QUICK.model_copy(update={"hidden": 8})})
    ]
    assert [row["id"] for row in others] == [f"{tracker.project}-{n}" for n in (2, 3, 4)]


def test_a_training_that_breaks_leaves_no_model_and_a_failed_run(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(TrainedModel, "save", die)
        with pytest.raises(RuntimeError, match="the disk is full"):
            train(store, tracker, chosen)
    assert (store.table("models").count(), tracker.next_version()) == (0, 1)
    [run] = tracker.client.search_runs([tracker.experiment_id])
    assert run.info.status == "FAILED"
    assert train(store, tracker, chosen)["id"] == f"{tracker.project}-1"


def test_a_model_that_was_registered_but_not_written_down_is_made_again(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the two: the registry has counted on, and so do we."""
    register = Tracker.register

    def die(*arguments: Any) -> int:
        register(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "register", die)
        with pytest.raises(KeyboardInterrupt):
            train(store, tracker, chosen)
    assert store.table("models").count() == 0
    assert train(store, tracker, chosen)["id"] == f"{tracker.project}-2"


def test_no_test_sample_is_ever_trained_on(
    store: ProjectStore, tracker: Tracker, chosen: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray[Any, Any]] = []
    fit = registration.fit
    monkeypatch.setattr(
        registration, "fit", lambda a, e, data, *rest, **more: seen.append(data.inputs) or fit(a, e, data, *rest, **more)
    )
    train(store, tracker, chosen)
    test: SplitData = split_data(store, sets.load(store, chosen.id), Text(), TASK, QUICK, "test")
    [vectors] = seen
    assert len(vectors) == 60
    assert not {v.tobytes() for v in vectors} & {v.tobytes() for v in test.examples.inputs}
