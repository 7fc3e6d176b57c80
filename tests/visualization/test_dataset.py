import json
from datetime import timedelta
from pathlib import Path

from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.visualization.dataset import as_listed, dataset_rows, first_to_show

from .conftest import report_of
from .reviews import AT, IDS, TASK, write


def by_name(store: ProjectStore) -> dict:
    known = {row["id"]: row for row in dataset_rows(store, TASK).to_pylist()}
    return {name: known[key] for name, key in IDS.items()}


def test_each_sample_has_one_status(store: ProjectStore) -> None:
    found = {name: row["status"] for name, row in by_name(store).items()}
    assert found == {
        "praise": "labelled",
        "doubt": "conflict",
        "slating": "labelled",
        "waits": "waiting",
        "attack": "labelled",
        "arabic": "unlabelled",
        "long": "unlabelled",
        "mended": "labelled",
    }


def test_label_task_and_prediction_stand_beside_their_own_sample(store: ProjectStore) -> None:
    found = by_name(store)
    assert (found["mended"]["value"], found["mended"]["task_id"], found["mended"]["predicted"]) == ("so so", 43, "bad")
    assert (found["arabic"]["value"], found["arabic"]["task_id"], found["arabic"]["predicted"]) == (None, None, None)


def test_a_prediction_differs_only_where_there_is_a_label(store: ProjectStore) -> None:
    assert {name for name, row in by_name(store).items() if row["differs"]} == {"slating", "mended"}


def test_labelled_ones_are_listed_first_and_then_waiting_ones(store: ProjectStore) -> None:
    everything = as_listed(dataset_rows(store, TASK))["status"].to_pylist()
    assert everything[:5].count("unlabelled") == everything[:5].count("waiting") == 0
    assert everything[5:] == ["waiting", "unlabelled", "unlabelled"]


def test_a_page_holds_first_what_is_predicted_differently_the_surest_first(store: ProjectStore) -> None:
    rows = dataset_rows(store, TASK)
    assert first_to_show(rows, 1)["id"].to_pylist() == [IDS["mended"]]
    assert first_to_show(rows, 3)["id"].to_pylist()[:2] == [IDS["mended"], IDS["slating"]]
    assert first_to_show(rows, 100).num_rows == len(set(first_to_show(rows, 100)["id"].to_pylist())) == 8


def test_unknown_source_and_split_have_a_name(tmp_path: Path) -> None:
    store = ProjectStore("bare", tmp_path)
    store.table("samples").upsert(rows("samples", [{"id": "a", "text": "x"}]))
    (row,) = dataset_rows(store, TASK).to_pylist()
    assert (row["source"], row["split"], row["status"]) == ("unknown", "unassigned", "unlabelled")


def test_a_labelled_sample_is_predicted_by_models_that_did_not_learn_from_it(tmp_path: Path) -> None:
    store = ProjectStore("loop", tmp_path)
    write(store, "samples", [{"id": i, "split": "test" if i == "tested" else "train"} for i in ("tested", "learnt", "new")])
    write(store, "labels", [{"id": i, "value": "good", "conflict": False} for i in ("tested", "learnt")])
    tested = [
        {"id": f"{model}/tested", "model": model, "sample_id": "tested", "label": label, "confidence": 0.9}
        for model, label in (("loop-1", "bad"), ("loop-2", "so so"))
    ]
    write(store, "test_predictions", tested)
    write(store, "evaluations", [{"id": f"loop-{n}", "model": f"loop-{n}", "at": AT + timedelta(n)} for n in (1, 2)])
    write(store, "cross_predictions", [{"id": "learnt", "label": "bad", "confidence": 0.8}])
    write(store, "batch_predictions", [{"id": i, "model": "loop-1", "label": "good"} for i in ("tested", "learnt", "new")])

    def found() -> dict:
        return {row["id"]: (row["predicted"], row["model"], row["differs"]) for row in dataset_rows(store, TASK).to_pylist()}

    # nothing serves yet: the newest that was evaluated
    assert found() == {
        "tested": ("so so", "loop-2", True),
        "learnt": ("bad", "cross-validation", True),
        "new": ("good", "loop-1", False),
    }
    write(store, "deployments", [{"id": "loop-d1", "model": "loop-1", "bento": "b", "state": "live", "live_at": AT}])
    assert found()["tested"] == ("bad", "loop-1", True)


def test_labels_are_compared_as_the_model_that_merged_or_dropped_classes_would_say_them(tmp_path: Path) -> None:
    store = ProjectStore("merged", tmp_path)
    write(store, "samples", [{"id": i, "text": i} for i in "abc"])
    labels = {"a": "so so", "b": "so so", "c": "bad"}
    write(store, "labels", [{"id": i, "value": value, "conflict": False} for i, value in labels.items()])
    recipe = {"inputs": ["content"], "encoder": "minilm", "classes": ["good"], "targets": {"good": "good", "so so": "good"}}
    write(store, "feature_sets", [{"id": "fs-1", "recipe": json.dumps(recipe)}])
    said = {"a": "good", "b": "fine", "c": "good"}
    write(store, "cross_predictions", [{"id": i, "feature_set": "fs-1", "label": label} for i, label in said.items()])
    found = {row["id"]: (row["expected"], row["differs"]) for row in dataset_rows(store, TASK).to_pylist()}
    assert found == {"a": ("good", False), "b": ("good", True), "c": (None, False)}
    data = report_of(store)
    words = [data.content["names"]["prediction"][code] for code in data.content["items"]["prediction"]]
    assert dict(zip(data.content["items"]["id"], words, strict=True)) == {"a": "agrees", "b": "differs", "c": "no label"}
    assert data.overview.predictions is not None
    assert (data.overview.predictions.compared, data.overview.predictions.differ) == (2, 1)
