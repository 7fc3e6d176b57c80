"""A model that somebody changed is never used: our own table knows each of its files, and the examples it is checked by."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.training import evaluation, seal
from ml_assets.training.data import split_data
from ml_assets.training.registration import registered, train_model
from ml_assets.training.seal import Seal, Tampered, digests
from ml_assets.training.tracking import Tracker
from ml_assets.training.trained_model import ModelError, TrainedModel

from .topics import AT, CLASSES, QUICK, SETTINGS, TASK, fill


def train(store: ProjectStore, tracker: Tracker, chosen: FeatureSet) -> dict[str, Any]:
    data = split_data(store, chosen, Text(), TASK, QUICK, "train")
    return train_model(store, chosen, data, QUICK, Text(), TASK, 0, "st-1", "1", tracker, AT, lambda *_: None)


@pytest.fixture
def made(store: ProjectStore, tracker: Tracker) -> dict[str, Any]:
    """The row of a model that is registered in MLflow."""
    return train(store, tracker, fill(store))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    (place / "model.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"weights")
    return place


def on_the_server(tracking: Path, tracker: Tracker, name: str) -> Path:
    """A file of the newest registered model, where MLflow keeps it."""
    files = [path for path in (tracking / "artifacts").rglob(name) if f'"{tracker.project}"' in _said(path.parent)]
    return max(files, key=lambda path: path.stat().st_mtime)


def _said(folder: Path) -> str:
    return (folder / "model.json").read_text() if (folder / "model.json").exists() else ""


def rotate(path: Path) -> None:
    """What the attack did: the classes one place on."""
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"classes": [*said["classes"][1:], said["classes"][0]]}))


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another description": (lambda f: (f / "model.json").write_text("{ }"), "model.json .* is not the file that was made"),
    "other weights": (lambda f: (f / "model.safetensors").write_bytes(b"w"), "model.safetensors .* is not the file that was"),
    "a file less": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors .* is missing"),
    "a file more": (lambda f: (f / "extra.py").write_text(""), "extra.py .* does not belong to it"),
    "a file more, in a folder": (lambda f: (f / "a").mkdir() or (f / "a" / "b").write_text(""), "a/b .* does not belong"),
    "a link in place of a file": (
        lambda f: (f / "model.json").rename(f.parent / "other") and (f / "model.json").symlink_to(f.parent / "other"),
        "model.json .* is not the file that was made",
    ),
    "limits, where there are none": (lambda f: (f / "limits.json").write_text("{}"), "limits.json .* does not belong to it"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_refused_in_one_sentence_that_names_the_file(folder: Path, change: str) -> None:
    known = Seal("topics-3", digests(folder))
    known.check(folder)
    how, said = CHANGES[change]
    how(folder)
    with pytest.raises(Tampered, match=f"^the model topics-3 is not used: {said}.*$"):
        known.check(folder)


def test_a_model_that_was_changed_on_the_server_is_never_loaded(
    store: ProjectStore, tracker: Tracker, tracking: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    assert sorted(json.loads(made["files"])) == ["model.json", "model.safetensors"]
    registered(store, tracker, made["id"], tmp_path / "before")
    rotate(on_the_server(tracking, tracker, "model.json"))
    with pytest.raises(Tampered, match=r"model\.json in .* is not the file that was made"):
        registered(store, tracker, made["id"], tmp_path / "after")
    chosen = evaluation_set(store, made)
    with pytest.raises(Tampered, match=r"model\.json in .* is not the file that was made"):
        evaluation.evaluate(store, made["id"], chosen, Text(), TASK, SETTINGS, tracker)
    assert store.table("test_predictions").count() == 0


def evaluation_set(store: ProjectStore, made: dict[str, Any]) -> FeatureSet:
    from ml_assets.features import feature_set as sets

    return sets.load(store, made["feature_set"])


def test_a_folder_more_on_the_server_is_refused(
    store: ProjectStore, tracker: Tracker, tracking: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    theirs = on_the_server(tracking, tracker, "model.json").parents[1] / "a"
    theirs.mkdir()
    (theirs / "model.json").write_text("{}")
    with pytest.raises(Tampered, match="MLflow has 2 folders as the model"):
        registered(store, tracker, made["id"], tmp_path / "after")


def test_a_model_that_no_table_knows_is_refused(store: ProjectStore, tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(Tampered, match=r"table models of project .* does not know it"):
        registered(store, tracker, f"{tracker.project}-7", tmp_path)


def test_examples_come_from_our_table_and_not_from_the_folder_that_they_check(
    store: ProjectStore, tracker: Tracker, made: dict[str, Any], tmp_path: Path
) -> None:
    folder, model = registered(store, tracker, made["id"], tmp_path)
    model.check_examples()
    # a network with other answers, and examples beside it that agree with it
    for weight in model.network.parameters():
        weight.data.neg_()
    model.description["examples"] = [
        {"content": e["content"], "scores": list(map(float, row))}
        for e, row in zip(model.examples, model.predict([e["content"] for e in model.examples]).scores, strict=True)
    ]
    with pytest.raises(ModelError, match="gives other answers here than where it was made"):
        model.check_examples()
    model.save(folder)
    TrainedModel.load(folder).check_examples()  # by itself it would have passed


def older(store: ProjectStore, made: dict[str, Any]) -> None:
    """The row as the version before wrote it: without files and examples."""
    store.table("models").upsert(rows("models", [made | {"files": None, "examples": None}]))


def test_a_model_of_the_version_before_is_used_and_noted_at_its_first_sight(
    store: ProjectStore, tracker: Tracker, tracking: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    older(store, made)
    registered(store, tracker, made["id"], tmp_path / "first")
    assert store.table("models").take([made["id"]]).to_pylist() == [made]
    said = json.loads(on_the_server(tracking, tracker, "model.json").read_text())
    on_the_server(tracking, tracker, "model.json").write_text(json.dumps(said | {"modality": "image"}))
    with pytest.raises(Tampered, match=r"model\.json"):
        registered(store, tracker, made["id"], tmp_path / "second")


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("model.json", rotate, "says another classes"),
        ("model.safetensors", lambda path: os.truncate(path, path.stat().st_size - 4), "is not the file that was made"),
    ],
)
def test_of_a_model_of_the_version_before_what_is_known_is_compared(
    store: ProjectStore,
    tracker: Tracker,
    tracking: Path,
    made: dict[str, Any],
    tmp_path: Path,
    name: str,
    how: Callable[[Path], None],
    said: str,
) -> None:
    older(store, made)
    how(on_the_server(tracking, tracker, name))
    with pytest.raises(Tampered, match=f"{name} in .* {said}"):
        registered(store, tracker, made["id"], tmp_path)
    assert store.table("models").take([made["id"]])["files"].to_pylist() == [None]


def test_the_bento_of_an_older_model_says_what_the_server_must_have(
    store: ProjectStore, tracker: Tracker, tracking: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    folder, _ = registered(store, tracker, made["id"], tmp_path / "first")
    older(store, made)
    files = digests(folder) | {"limits.json": "0" * 64}
    row = {"id": "topics:t", "model": made["id"], "path": "p", "bytes": 1, "at": AT, "files": json.dumps(files)}
    store.table("bentos").upsert(rows("bentos", [row]))
    assert seal.of_model(store, made["id"]).files == digests(folder)
    assert seal.of_bento(store, "topics:t", made["id"]).files == files
    said = json.loads(on_the_server(tracking, tracker, "model.json").read_text())
    on_the_server(tracking, tracker, "model.json").write_text(json.dumps(said | {"modality": "image"}))
    with pytest.raises(Tampered, match=r"model\.json"):
        registered(store, tracker, made["id"], tmp_path / "second")


def test_scores_of_another_shape_are_other_answers(
    made: dict[str, Any], store: ProjectStore, tracker: Tracker, tmp_path: Path
) -> None:
    _, model = registered(store, tracker, made["id"], tmp_path)
    cut = [e | {"scores": e["scores"][:1]} for e in model.examples]
    assert np.shape([e["scores"] for e in model.examples]) == (len(cut), len(CLASSES))
    with pytest.raises(ModelError, match="gives other answers here"):
        TrainedModel(model.description, model.network, Seal(made["id"], examples=cut)).check_examples()


def test_nothing_loads_a_model_without_comparing_it() -> None:
    package = Path(seal.__file__).parents[1]
    calls = [
        (path.relative_to(package).as_posix(), call)
        for path in package.rglob("*.py")
        for call in re.findall(r"(?:TrainedModel\.load|\.download)\(.*", path.read_text(encoding="utf-8"))
    ]
    # MLflow runs `pyfunc.py` elsewhere, where there are no tables
    without = [call for call in calls if not re.search(r"\bseal\b|of_bento\(", call[1]) and call[0] != "training/pyfunc.py"]
    assert (len(calls) >= 4, without) == (True, [])
