"""Samples of several parts at the endpoint: JSON objects, of which any part may be missing."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ml_assets.commands import predict as command
from ml_assets.deployment import bento
from ml_assets.deployment.batch import predict_table
from ml_assets.deployment.bento import model_folder_of
from ml_assets.modalities import Mixed
from ml_assets.monitoring.traffic import profile_day, stale_days
from ml_assets.spool.adoption import adopt
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice
from ml_assets.training.trained_model import TrainedModel

from .serving import Served, serve_new

PARTS = {"body": "text", "photo": "image", "price": "number", "kind": "category", "sold": "time"}
MIXED = Mixed(parts=PARTS)
WHOLE = {"body": "A red bicycle", "price": 120.5, "kind": "bicycle", "sold": "2026-03-09T10:00:00Z"}


@pytest.fixture(scope="module")
def offers(state: Path, endpoint: Served, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A client of a project of offers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(state))
        modality = {"type": "mixed", "parts": PARTS}
        item = MIXED.decode(json.dumps(WHOLE))
        network = {"type": "fusion", "width": 8, "hidden": 8}
        secret = serve_new(
            tmp_path_factory.mktemp("offers"), "offers", modality, network, SingleChoice(classes=("sold", "kept")), [item]
        )
        yield httpx.Client(base_url=endpoint.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60)


def picture() -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_objects_are_answered_whatever_part_is_missing(offers: httpx.Client) -> None:
    sent = [
        WHOLE,
        WHOLE | {"photo": picture()},
        {"price": 3},
        {"body": "only this"},
        WHOLE | {"price": None},
        json.dumps(WHOLE),
    ]
    answer = offers.post("/offers/predict", json={"samples": sent})
    assert answer.status_code == 200, answer.text
    scores = [prediction["scores"] for prediction in answer.json()["predictions"]]
    assert scores[0] == pytest.approx(scores[5], abs=1e-6)
    for other in scores[1:5]:
        assert other != pytest.approx(scores[0], abs=1e-6)
    alone = [offers.post("/offers/predict", json={"samples": [each]}).json()["predictions"][0]["scores"] for each in sent]
    for together, one in zip(scores, alone, strict=True):
        assert together == pytest.approx(one, abs=1e-3)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({}, "empty: it has none of the parts"),
        ({"colour": "red"}, "unknown part 'colour': choose one of body, photo, price, kind, sold"),
        ({"price": "much"}, "price: not a number"),
        ({"photo": "AAAA"}, "photo: "),
        ({"sold": "yesterday"}, "sold: not a time such as"),
        ("a text", "not a JSON object of parts"),
    ],
)
def test_a_wrong_part_is_refused_with_its_name(offers: httpx.Client, sample: Any, said: str) -> None:
    answer = offers.post("/offers/predict", json={"samples": [WHOLE, sample]})
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"].startswith(f"1 of the samples cannot be taken: samples.1: {said}")


def test_an_object_is_no_text(offers: httpx.Client) -> None:
    answer = offers.post("/offers/predict", json={"samples": [[1]]})
    assert answer.status_code == 422
    assert answer.json()["error"] == "the body is not as it should be: samples.0: Input should be a text or an object"


def test_its_documentation_names_the_parts(offers: httpx.Client) -> None:
    for where in (offers.get("/docs.json").json()["components"]["schemas"], offers.get("/offers").json()["input"]["$defs"]):
        parts = where["Sample"]["properties"]
        assert list(parts) == list(PARTS)
        assert {"type": "number"} in parts["price"]["anyOf"]


def test_what_was_asked_and_pushed_is_one_sample(offers: httpx.Client) -> None:
    [prediction] = offers.post("/offers/predict", json={"samples": [WHOLE]}).json()["predictions"]
    pushed = offers.post("/offers/samples", json={"samples": [{"content": WHOLE, "label": "sold"}]})
    assert pushed.status_code == 202, pushed.text
    [key] = pushed.json()["ids"]
    store = ProjectStore("offers")
    adopt(store, bento.home() / "inference" / "offers", now())
    [row] = store.table("inference_log").take([prediction["id"]]).to_pylist()
    assert (row["sample_id"], row["media"]) == (key, None)
    assert key == MIXED.sample_id(row["text"])
    assert json.loads(row["text"])["sold"] == "2026-03-09T10:00:00+00:00"
    [day] = stale_days(store)
    assert profile_day(store, day, MIXED, now()) == 1


def test_the_command_takes_objects(offers: httpx.Client, endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_ENDPOINT_PORT", endpoint.url.rsplit(":", 1)[1])
    assert len(command.predict("offers", [json.dumps(WHOLE)])["predictions"]) == 1


def test_a_table_with_a_column_for_each_part_is_predicted(offers: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "offers.csv").write_text("body,price,kind,note\nA bell,3,bell,x\n,,,y\nA lamp,much,lamp,z\n")
    store = ProjectStore("offers")
    [row] = store.table("deployments").read(["bento"], "state = 'live'").to_pylist()
    model = TrainedModel.load(model_folder_of(row["bento"]))
    output = str(tmp_path / "answered.csv")
    done = predict_table(store, model, str(tmp_path / "offers.csv"), ("body", "price", "kind"), output, now())
    assert (done.predicted, done.skipped) == (1, 2)
    text = Path(output).read_text()
    assert "price: not a number" in text
    assert "empty: it has none of the parts" in text
