"""Spans point into the text that was given, through every door: its edges and line ends are not those of the item."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.collection.collect import collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import TableSource
from ml_assets.deployment.batch import predict_table
from ml_assets.deployment.bento import model_folder_of
from ml_assets.deployment.predictor import Outcome, Predictor, Sample
from ml_assets.labeling.given import collect_given
from ml_assets.modalities import Text
from ml_assets.monitoring.live_accuracy import live_accuracy
from ml_assets.spool import inbox
from ml_assets.spool.adoption import adopt
from ml_assets.state.clock import now
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.tasks import Predicted, Spans
from ml_assets.training.trained_model import TrainedModel

from .inside import inside, key
from .serving import build_new

CITY = "Lima"
GIVEN = [
    f"   Please send it to {CITY}, note 7",
    f"Dear all,\r\n\r\nsend it to {CITY}\r\n",
    f"{CITY}",
    f"\ufeff\t{CITY} 🙂\r\n",
    f"🙂\r\n{CITY}  ",
]
TASK = Spans(classes=("city",))


def spans_in(text: str) -> list[dict[str, Any]]:
    return [{"start": text.index(CITY), "end": text.index(CITY) + len(CITY), "label": "city"}]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cities(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model that finds the city."""
    built = build_new(tmp_path / "model", "cities", "text", {"type": "token_classifier"}, TASK, ["a text"])

    def run(self: Predictor, samples: Sequence[Sample]) -> list[Outcome]:
        return [Outcome(TASK.parse(spans_in(sample.item)), 0.9, {"city": 0.9}) for sample in samples]

    monkeypatch.setattr(Predictor, "run", run)
    return model_folder_of(built.tag)


def ask(cities: Path, secret: str, path: str, body: Any) -> httpx.Response:
    async def work(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(f"/cities/{path}", json=body)

    answer: httpx.Response = inside(cities, work, secret)
    return answer


def test_a_prediction_points_into_what_was_sent_and_feedback_on_it_too(cities: Path, home: Path) -> None:
    secret = key("cities")
    found = ask(cities, secret, "predict", {"samples": GIVEN}).json()["predictions"]
    assert [[text[s["start"] : s["end"]] for s in p["label"]] for text, p in zip(GIVEN, found, strict=True)] == [[CITY]] * 5
    for text, prediction in zip(GIVEN, found, strict=True):
        body = {"prediction_id": prediction["id"], "label": spans_in(text)}
        assert ask(cities, secret, "feedback", body).status_code == 202
    store = ProjectStore("cities")
    adopt(store, home / "inference" / "cities", now())
    for row in store.table("inference_log").read().to_pylist():
        [span] = json.loads(row["label"])
        assert row["text"][span["start"] : span["end"]] == CITY
    [day] = live_accuracy(store, TASK, now()).to_pylist()
    assert (day["feedback"], day["accuracy"]) == (5, 1.0)


def stored(store: ProjectStore) -> list[str]:
    """What the labels of the samples point at."""
    texts = dict(zip(*store.table("samples").read(["id", "text"]).to_pydict().values(), strict=True))
    rows = store.table("given_labels").read(["sample_id", "value"]).to_pylist()
    return [texts[row["sample_id"]][span["start"] : span["end"]] for row in rows for span in json.loads(row["value"])]


BEYOND = {"content": "a short text", "label": [{"start": 2, "end": 400, "label": "city"}]}
AT_THE_EDGE = {"content": "   a text", "label": [{"start": 0, "end": 2, "label": "city"}]}


@pytest.mark.parametrize("door", ["samples", "labels"])
def test_pushed_spans_point_into_what_was_pushed(cities: Path, home: Path, door: str) -> None:
    secret, store = key("cities"), ProjectStore("cities")
    pushed = [{"content": text, "label": spans_in(text)} for text in GIVEN]
    assert ask(cities, secret, "samples", {"samples": pushed if door == "samples" else GIVEN}).status_code == 202
    if door == "labels":
        assert ask(cities, secret, "labels", {"labels": pushed}).status_code == 202
    for wrong, said in ((BEYOND, "the span 2-400 ends behind the text, which has 12 characters"), (AT_THE_EDGE, "but space")):
        answer = ask(cities, secret, door, {door: [wrong]})
        assert (answer.status_code, said in answer.json()["error"]) == (422, True), answer.json()
    collect(store, CollectionSettings(modality=Text()), TASK, now(), lambda _: None)
    collect_given(store, inbox.folder("cities", "labels"), TASK, Text(), now())
    assert stored(store) == [CITY] * 5


def test_labels_of_known_samples_must_lie_within_them(home: Path) -> None:
    """Also where no model says yet what labels are, so that the endpoint takes them unchecked."""
    store = ProjectStore("cities")
    inbox.write("cities", "samples", [{"client": "a", "content": f" {CITY} "}])
    collect(store, CollectionSettings(modality=Text()), TASK, now(), lambda _: None)
    label = {"sample_id": content_id("text", CITY), "client": "a", "labeler": "a", "labeler_kind": "program"}
    inbox.write("cities", "labels", [label | {"label": [{"start": 0, "end": 50, "label": "city"}]}])
    assert collect_given(store, inbox.folder("cities", "labels"), TASK, Text(), now()).rejected == 1
    inbox.write("cities", "labels", [label | {"label": spans_in(CITY)}])
    assert collect_given(store, inbox.folder("cities", "labels"), TASK, Text(), now()).changed == 1
    assert stored(store) == [CITY]


def test_spans_of_a_table_point_into_its_texts(home: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "label": spans_in(text)} for text in GIVEN]
    rows += [{"text": wrong["content"], "label": wrong["label"]} for wrong in (BEYOND, AT_THE_EDGE)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store, source = ProjectStore("cities"), TableSource(name="a", path=str(tmp_path / "a.jsonl"), label="label")
    collect(store, CollectionSettings(modality=Text(), sources=(source,)), TASK, now(), lambda _: None)
    assert sorted(stored(store)) == [CITY] * 5
    assert store.table("rejects").count() == 2


def test_predictions_in_bulk_point_into_the_tables_own_texts(
    cities: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    model = TrainedModel.load(cities)

    def predict(items: Sequence[str]) -> Predicted:
        n = len(items)
        return Predicted(
            [TASK.parse(spans_in(i)) for i in items], np.full(n, 0.9, np.float32), np.full((n, 1), 0.9, np.float32)
        )

    monkeypatch.setattr(model, "predict", predict)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in GIVEN))
    predict_table(ProjectStore("cities"), model, str(tmp_path / "a.jsonl"), "text", str(tmp_path / "out.jsonl"), now())
    for text, line in zip(GIVEN, (tmp_path / "out.jsonl").read_text().splitlines(), strict=True):
        [span] = json.loads(json.loads(line)["predicted_label"])
        assert text[span["start"] : span["end"]] == CITY
