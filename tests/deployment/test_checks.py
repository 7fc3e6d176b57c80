"""What is checked of bulk predictions, for every label task."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_assets.deployment.checks import deployment_checks
from ml_assets.orchestration.resources import Workspace
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import TASKS

AT = datetime(2026, 1, 2, tzinfo=UTC)
CLASSES = ("cat", "dog", "merged")
BOX = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
ANSWERS = {
    "single_choice": {name: name for name in CLASSES},
    "multiple_choice": {name: [name] for name in CLASSES},
    "spans": {name: [{"start": 0, "end": 3, "label": name}] for name in CLASSES},
    "boxes": {name: [{"label": name, **BOX, "confidence": 0.9}] for name in CLASSES},
}


@pytest.mark.parametrize("name", list(TASKS))
def test_bulk_predictions_are_answers_that_the_models_classes_allow(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    store = ProjectStore("pets")
    # the model tells other classes apart than annotators do: one was left out, one is made of others
    task, learnt = (
        TASKS.parse({"type": name, "classes": ["cat", "dog", "bird"]}),
        TASKS.parse({"type": name, "classes": CLASSES}),
    )
    live = {"id": "pets-d1", "model": "pets-1", "bento": "b", "state": "live", "requested_at": AT, "live_at": AT}
    store.table("deployments").insert(rows("deployments", [live]))
    store.table("models").insert(rows("models", [{"id": "pets-1", "classes": json.dumps(CLASSES), "at": AT}]))
    [check] = (c for c in deployment_checks("pets", task) if c.check_key.name == "of_the_serving_model")

    def predicted(key: str, answer: object, model: str = "pets-1") -> None:
        value = learnt.parse(answer) if "bird" not in str(answer) else task.parse(answer)
        made = {"id": key, "model": model, "label": value, "confidence": 1.0, "scores": "{}", "at": AT}
        store.table("batch_predictions").upsert(rows("batch_predictions", [made]))

    for key, answer in ANSWERS[name].items():
        predicted(key, answer)
    assert check(workspace=Workspace()).passed
    predicted("cat", ANSWERS[name]["cat"], "pets-0")
    predicted("dog", json.loads(json.dumps(ANSWERS[name]["dog"]).replace("dog", "bird")))
    said = check(workspace=Workspace())
    assert not said.passed
    assert said.description == "3 predictions, 1 of another model, 1 that its classes do not allow"
