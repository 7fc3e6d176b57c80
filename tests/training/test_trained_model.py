"""A model as a folder: what was saved is what is loaded, and damage is one sentence."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_assets.modalities import Text
from ml_assets.training.fit import fit
from ml_assets.training.trained_model import ModelError, TrainedModel
from ml_assets.training.tuning import describe

from .topics import CLASSES, QUICK, TASK, examples

ENCODER = Text().encoder("minilm")
TEXTS = ["a painting", "the judge", "a goal", "нет"]


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    description: dict[str, Any] = {
        "project": "topics", "version": "topics-3", "modality": "text", "task": {"type": "single_choice"},
        "encoder": {"name": "minilm", "dimensions": 384},
        "architecture": describe(QUICK), "classes": list(CLASSES), "examples": [],
    }  # fmt: skip
    made = TrainedModel(description, fit(QUICK, ENCODER, examples(), CLASSES, TASK, seed=0))
    scores = made.predict(TEXTS).scores
    description["examples"] = [
        {"content": t, "scores": [round(float(p), 6) for p in row]} for t, row in zip(TEXTS, scores, strict=True)
    ]
    return made


@pytest.fixture
def folder(model: TrainedModel, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_what_was_saved_is_loaded(model: TrainedModel, folder: Path) -> None:
    again = TrainedModel.load(folder)
    assert (again.version, again.classes, again.description) == ("topics-3", list(CLASSES), model.description)
    before, after = model.predict(TEXTS), again.predict(TEXTS)
    assert np.array_equal(before.scores, after.scores)
    assert after.scores.shape == (4, 3)
    assert after.labels == [CLASSES[i] for i in after.scores.argmax(1)]
    assert np.array_equal(after.confidence, after.scores.max(1))
    again.check_examples()


def test_nothing_gives_nothing(model: TrainedModel) -> None:
    for found in (model.predict([]), model.predict_inputs(np.zeros((0, 384), np.float32))):
        assert (found.labels, found.confidence.shape, found.scores.shape) == ([], (0,), (0, 3))


def test_no_pickle_is_written(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    assert b"pickle" not in (folder / "model.safetensors").read_bytes()
    assert json.loads((folder / "model.json").read_text())["classes"] == list(CLASSES)


def change(**values: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(content | values))

    return write


def forget(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = json.loads((folder / "model.json").read_text())
        del content[name]
        (folder / "model.json").write_text(json.dumps(content))

    return write


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no description": (lambda f: (f / "model.json").unlink(), "holds no model: model.json is missing"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no model: model.safetensors is missing"),
    "no JSON": (lambda f: (f / "model.json").write_text("{torn"), "cannot be loaded"),
    "no object": (lambda f: (f / "model.json").write_text("[]"), "cannot be loaded"),
    "binary": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "cannot be loaded"),
    "torn weights": (lambda f: os.truncate(f / "model.safetensors", 1000), "cannot be loaded"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "cannot be loaded"),
    "other sizes": (change(encoder={"name": "minilm", "dimensions": 100}), "cannot be loaded"),
    "other classes": (change(classes=["art", "law"]), "cannot be loaded"),
    "other hidden": (change(architecture=describe(QUICK) | {"hidden": 8}), "cannot be loaded"),
    "unknown network": (change(architecture={"type": "llm"}), "unknown architecture 'llm': choose one of audio_cnn, "),
    "unknown option": (change(architecture=describe(QUICK) | {"depth": 8}), "unknown option 'depth': choose one of"),
    "wrong option": (change(architecture=describe(QUICK) | {"hidden": "many"}), "hidden: Input should be a valid integer"),
    "no classes": (forget("classes"), "'classes' is missing"),
    "no encoder": (forget("encoder"), "'encoder' is missing"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_one_sentence(folder: Path, damage: str) -> None:
    break_, said = DAMAGE[damage]
    break_(folder)
    with pytest.raises(ModelError) as caught:
        TrainedModel.load(folder)
    sentence = str(caught.value)
    assert str(folder) in sentence
    assert said in sentence
    assert len(sentence.splitlines()) == 1
    assert sentence.split(": ", 1)[1].strip(), "it says why"


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing holds no model: model.json is missing"):
        TrainedModel.load(tmp_path / "nothing")


def test_a_model_that_answers_otherwise_is_refused(folder: Path) -> None:
    stored = json.loads((folder / "model.json").read_text())["examples"]
    for off, said in ((0.04, None), (0.2, "a probability is off by 0.2"), (float("nan"), "off by nan")):
        moved = [e | {"scores": [e["scores"][0] + off, *e["scores"][1:]]} for e in stored[:1]] + stored[1:]
        change(examples=moved)(folder)
        model = TrainedModel.load(folder)
        if said is None:
            model.check_examples()
        else:
            with pytest.raises(ModelError, match=f"the model topics-3 gives other answers here.*{said}"):
                model.check_examples()
    change(examples=[])(folder)
    with pytest.raises(ModelError, match="the model topics-3 has no stored examples to check itself on"):
        TrainedModel.load(folder).check_examples()
