"""Pictures and sounds at the endpoint: as files of a form, as the body itself, as base64; labels that are lists."""

import base64
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ml_assets.commands import predict as command
from ml_assets.deployment import bento
from ml_assets.modalities import Image
from ml_assets.monitoring.traffic import profile_day, stale_days
from ml_assets.monitoring.uncertain import pick
from ml_assets.spool.adoption import adopt
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import MultipleChoice, SingleChoice

from .serving import Served, serve_new

CLASSES = ("left", "right", "none")


def picture(seed: int = 0, kind: str = "PNG") -> bytes:
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def sound(seed: int = 0) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(seed).normal(0, 0.1, 4000).astype(np.float32), 8000, format="WAV")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def _same_home(state: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ASSETS_HOME", str(state))
        yield


@pytest.fixture(scope="module")
def pictures(_same_home: None, endpoint: Served, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    """A client of a project of pictures."""
    task, network = SingleChoice(classes=CLASSES), {"type": "image_cnn", "width": 4, "size": 16}
    secret = serve_new(tmp_path_factory.mktemp("pictures"), "arrows", "image", network, task, [picture(9)])
    return httpx.Client(base_url=endpoint.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60)


@pytest.fixture(scope="module")
def sounds(_same_home: None, endpoint: Served, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    """A client of a project of sounds, each with several tags."""
    task = MultipleChoice(classes=CLASSES)
    secret = serve_new(
        tmp_path_factory.mktemp("sounds"), "noises", "audio", {"type": "mlp", "hidden": 8}, task, [sound(9), sound(8)]
    )
    return httpx.Client(base_url=endpoint.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60)


def test_a_picture_may_come_in_three_ways(pictures: httpx.Client) -> None:
    content = picture()
    ways: list[dict[str, Any]] = [
        {"files": [("files", ("a.png", content, "image/png"))]},
        {"content": content, "headers": {"Content-Type": "image/png"}},
        {"json": {"samples": [base64.b64encode(content).decode()]}},
    ]
    scores = []
    for way in ways:
        answer = pictures.post("/arrows/predict", **way)
        assert answer.status_code == 200, answer.text
        [prediction] = answer.json()["predictions"]
        assert prediction["label"] in CLASSES
        scores.append(prediction["scores"])
    assert scores[0] == scores[1] == scores[2]


def test_several_files_are_answered_in_their_order(pictures: httpx.Client) -> None:
    contents = [picture(i, kind) for i, kind in enumerate(("PNG", "JPEG", "WEBP"))]
    together = pictures.post("/arrows/predict", files=[("files", (f"{i}", c)) for i, c in enumerate(contents)]).json()
    alone = [pictures.post("/arrows/predict", files={"files": c}).json()["predictions"][0]["scores"] for c in contents]
    for found, expected in zip(together["predictions"], alone, strict=True):
        assert found["scores"] == pytest.approx(expected, abs=1e-4)


def test_the_defaults_of_curl_work(pictures: httpx.Client, sounds: httpx.Client, endpoint: Served, tmp_path: Path) -> None:
    for client, project, name, content in ((pictures, "arrows", "a.png", picture()), (sounds, "noises", "a.wav", sound())):
        (tmp_path / name).write_bytes(content)
        secret, address = client.headers["Authorization"], f"{endpoint.url}/{project}/predict"
        done = subprocess.run(
            ["curl", "-s", "-H", f"Authorization: {secret}", "-F", f"files=@{tmp_path / name}", address],
            capture_output=True, check=True,
        )  # fmt: skip
        assert len(json.loads(done.stdout)["predictions"]) == 1, done.stdout


def test_the_command_takes_files(pictures: httpx.Client, endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_ENDPOINT_PORT", endpoint.url.rsplit(":", 1)[1])
    assert len(command.predict("arrows", [picture(1), picture(2)])["predictions"]) == 2


def test_labels_that_are_lists(sounds: httpx.Client) -> None:
    [prediction] = sounds.post("/noises/predict", files={"files": sound(3)}).json()["predictions"]
    assert isinstance(prediction["label"], list)
    assert set(prediction["label"]) <= set(CLASSES)
    said = {"prediction_id": prediction["id"], "label": ["right", "left"]}
    assert sounds.post("/noises/feedback", json=said).status_code == 202
    wrong = sounds.post("/noises/feedback", json=said | {"label": ["up"]})
    assert wrong.status_code == 422
    assert "unknown class 'up': choose among left, right, none" in wrong.json()["error"]
    store = ProjectStore("noises")
    adopt(store, Path(bento.home() / "inference" / "noises"), now())
    [kept] = store.table("feedback").read().to_pylist()
    assert kept["label"] == '["left", "right"]'
    described = json.dumps(sounds.get("/docs.json").json())
    assert "multipart/form-data" in described
    assert '"enum": ["left", "right", "none"]' in described


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"files": [("files", picture()), ("files", b"no picture")]}, 422, "samples.1: "),
        ({"files": [("files", picture()[:200])]}, 422, "samples.0: "),
        ({"files": [("files", b"")]}, 422, "samples.0: "),
        ({"json": {"samples": ["no base64!"]}}, 422, "samples.0: not base64: "),
        ({"content": b"<svg onload='alert(1)'/>", "headers": {"Content-Type": "image/svg+xml"}}, 422, "samples.0: "),
        ({"data": {"files": "a text"}, "files": {}}, 400, "the body is no JSON"),
        ({"files": [("files", b"x")] * 257}, 400, "the form cannot be read: Too many files"),
        (
            {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            422,
            "the form holds no file",
        ),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400, "the form cannot be read"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(
    pictures: httpx.Client, endpoint: Served, sent: dict[str, Any], status: int, said: str
) -> None:
    store, folder = ProjectStore("arrows"), bento.home() / "inference" / "arrows"
    adopt(store, folder, now())
    before = store.table("inference_log").count()
    answer = pictures.post("/arrows/predict", **sent)
    assert (answer.status_code, set(answer.json())) == (status, {"error", "detail"}), answer.text
    assert said in answer.json()["error"]
    adopt(store, folder, now())
    assert store.table("inference_log").count() == before
    assert "Traceback" not in endpoint.log.read_text()


def test_pictures_that_are_pushed_wait_in_the_inbox(pictures: httpx.Client) -> None:
    content = picture(5)
    answer = pictures.post("/arrows/samples", files={"files": content})
    assert answer.status_code == 202, answer.text
    assert answer.json()["ids"] == [Image().sample_id(content)]
    again = pictures.post("/arrows/samples", json={"samples": [{"content": base64.b64encode(content).decode()}]})
    assert again.json()["ids"] == answer.json()["ids"]
    [path] = (bento.home() / "inbox" / "arrows" / "samples").glob("*.jsonl")
    assert base64.b64decode(json.loads(path.read_text())["content"]) == content


def test_what_was_asked_is_kept_profiled_and_sent_back(pictures: httpx.Client) -> None:
    content = picture(6)
    [prediction] = pictures.post("/arrows/predict", files={"files": content}).json()["predictions"]
    store = ProjectStore("arrows")
    adopt(store, bento.home() / "inference" / "arrows", now())
    [row] = store.table("inference_log").take([prediction["id"]]).to_pylist()
    assert (row["media"], row["text"], row["sample_id"]) == (content, None, Image().sample_id(content))
    [day] = stale_days(store)
    assert profile_day(store, day, Image(), now()) == 1
    assert pick(store, 50, 1.01, now())
    sent = [
        json.loads(line)
        for path in (bento.home() / "inbox" / "arrows" / "samples").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert content in [base64.b64decode(entry["content"]) for entry in sent if entry["client"] == "monitoring"]
