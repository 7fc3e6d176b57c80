from pathlib import Path

from ml_assets.records import rows
from ml_assets.store import ProjectStore
from ml_assets.visualization.dataset import dataset_rows, first_to_show

from .reviews import IDS


def by_name(store: ProjectStore) -> dict:
    known = {row["id"]: row for row in dataset_rows(store).to_pylist()}
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


def test_labelled_ones_are_shown_first_and_then_waiting_ones(store: ProjectStore) -> None:
    everything = first_to_show(dataset_rows(store), 100)["status"].to_pylist()
    assert everything[:5].count("unlabelled") == everything[:5].count("waiting") == 0
    assert everything[5:] == ["waiting", "unlabelled", "unlabelled"]
    assert first_to_show(dataset_rows(store), 3)["status"].to_pylist() == everything[:3]


def test_unknown_source_and_split_have_a_name(tmp_path: Path) -> None:
    store = ProjectStore("bare", tmp_path)
    store.table("samples").upsert(rows("samples", [{"id": "a", "text": "x"}]))
    (row,) = dataset_rows(store).to_pylist()
    assert (row["source"], row["split"], row["status"]) == ("unknown", "unassigned", "unlabelled")
