"""The API, through the real endpoint with two workers."""

import json
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.deployment import keys
from ml_assets.modalities import Text
from ml_assets.spool.adoption import adopt
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore

from .serving import CLASSES, PROJECT, TEXTS, Served, records_of

SECRET_TEXT = "xyzzy-must-not-be-logged"
pytestmark = pytest.mark.usefixtures("live")


def recorded(state: Path, project: str = PROJECT) -> dict[str, dict[str, Any]]:
    """All records of the project's segments by id."""
    return {r["id"]: r for r in records_of(state / "inference" / project)}


def inbox(state: Path, kind: str) -> list[list[dict[str, Any]]]:
    """The records of each file in the inbox."""
    files = (state / "inbox" / PROJECT / kind).glob("*.jsonl")
    return [[json.loads(line) for line in f.read_text().splitlines()] for f in files]


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a refusal, which always looks the same."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error", "detail"}
    assert "\n" not in body["error"]
    return body


def test_predictions_are_those_of_the_model_and_are_recorded(client: httpx.Client, state: Path, live: str) -> None:
    answer = client.post(f"/{PROJECT}/predict", json={"samples": list(TEXTS)}).json()
    assert answer["model"] == live
    assert abs((datetime.fromisoformat(answer["at"]) - now()).total_seconds()) < 60
    assert len({p["id"] for p in answer["predictions"]}) == 3
    stored = recorded(state)
    for text, prediction in zip(TEXTS, answer["predictions"], strict=True):
        assert set(prediction["scores"]) == set(CLASSES)
        assert abs(sum(prediction["scores"].values()) - 1) < 1e-4
        assert prediction["confidence"] == max(prediction["scores"].values()) == prediction["scores"][prediction["label"]]
        assert stored[prediction["id"]] == {
            "kind": "prediction", "at": answer["at"], "model": live, "sample_id": Text().sample_id(text), "text": text,
            "client": "the app", **prediction,
        }  # fmt: skip


def test_the_same_sample_gets_the_same_answer_under_a_new_id(client: httpx.Client) -> None:
    bodies = [{"samples": [TEXTS[0]]}, {"samples": [f" {TEXTS[0]}\r\n"]}]
    [one], [two] = (client.post(f"/{PROJECT}/predict", json=body).json()["predictions"] for body in bodies)
    assert one["id"] != two["id"]
    assert one["scores"] == pytest.approx(two["scores"], abs=1e-3)


def test_what_serves(client: httpx.Client, live: str) -> None:
    answer = client.get(f"/{PROJECT}").json()
    assert (answer["project"], answer["model"], answer["classes"]) == (PROJECT, live, list(CLASSES))
    assert answer["limits"] == {"max_batch": 256, "max_characters": 100_000, "requests_per_minute": 30_000}
    assert answer["input"]["properties"]["samples"]["type"] == "array"
    assert datetime.fromisoformat(answer["since"]) <= now()


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("predict", {"samples": []}, "samples: List should have at least 1 item"),
        ("predict", {"samples": ["a"] * 257}, "too many samples: 257, at most 256"),
        ("predict", {"samples": ["a"] * 5000}, "at most 4096 items"),
        ("predict", {"samples": ["good", "x" * 100_001]}, "samples.1: too long: 100,001 characters, more than 100,000"),
        ("predict", {"samples": ["good", " \n\t "]}, "samples.1: empty"),
        ("predict", {"samples": ["a\x00b"]}, "zero character"),
        ("predict", {"samples": "text"}, "samples: Input should be a valid array"),
        ("predict", {"samples": [7]}, "samples.0: Input should be a text or an object"),
        ("predict", {"samples": ["a"], "model": "x"}, "model: Extra inputs are not permitted"),
        ("predict", {}, "samples: Field required"),
        ("predict", [], "the body: Input should be an object"),
        ("samples", {"samples": [" "]}, "samples.0: empty"),
        ("samples", {"samples": [{"content": "a", "label": "nonsense"}]}, "samples.0: unknown class"),
        ("labels", {"labels": [{"content": "a", "label": "no", "labeler": "crm"}]}, "choose one of hockey, space, med, other"),
        ("labels", {"labels": [{"label": "space", "labeler": "crm"}]}, "give either sample_id or content"),
        ("labels", {"labels": [{"content": "a", "label": None}]}, "give a label"),
        ("labels", {"labels": [{"content": "a", "sample_id": "b", "label": "space", "labeler": "crm"}]}, "give either"),
        ("labels", {"labels": [{"content": "a", "label": "space", "labeler": ""}]}, "labels.0.labeler"),
        ("labels", {"labels": [{"content": "a", "label": "space", "labeler": "crm", "labeler_kind": "god"}]}, "'person'"),
        ("feedback", {"prediction_id": "0" * 32, "label": "nonsense"}, "unknown class"),
        ("feedback", {"prediction_id": "../../etc", "label": "space"}, "prediction_id"),
    ],
)  # fmt: skip
def test_a_wrong_body(client: httpx.Client, path: str, body: Any, problem: str) -> None:
    assert problem in refusal(client.post(f"/{PROJECT}/{path}", json=body), 422)["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"samples": ["\\ud800"]}', b"[" * 100_000])
def test_a_body_that_is_no_json(client: httpx.Client, body: bytes) -> None:
    assert "the body is no JSON: " in refusal(client.post(f"/{PROJECT}/predict", content=body), 400)["error"]


def test_one_wrong_request_does_not_touch_its_neighbours(client: httpx.Client) -> None:
    bad = client.post(f"/{PROJECT}/predict", json={"samples": ["fine", "", "fine"]})
    assert refusal(bad, 422)["detail"] == [{"at": "samples.1", "problem": "empty"}]
    assert client.post(f"/{PROJECT}/predict", json={"samples": ["fine"]}).status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer mla_wrong", "Basic dXNlcjpwYXNz", "mla_wrong", "Bearer \u00e9"])
def test_strangers_learn_nothing(endpoint: Served, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    answers = set()
    for project in (PROJECT, "nothing_here", "%2e%2e"):
        for path in ("", "/predict", "/samples", "/labels", "/feedback"):
            answer = httpx.request("POST" if path else "GET", f"{endpoint.url}/{project}{path}", headers=headers)
            refusal(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            answers.add(answer.content)
    assert len(answers) == 1


@pytest.mark.parametrize("path", ["/docs.json", "/schema.json", "/metrics", "/", "/livez", "/readyz"])
def test_open_pages_name_no_project(endpoint: Served, client: httpx.Client, path: str) -> None:
    client.post(f"/{PROJECT}/predict", json={"samples": ["counted"]})
    answer = httpx.get(endpoint.url + path)
    assert answer.status_code == 200
    assert PROJECT not in answer.text


def test_a_key_of_another_project_and_a_key_without_the_scope(endpoint: Served, state: Path, client: httpx.Client) -> None:
    other = {"Authorization": f"Bearer {keys.add('another', keys.SCOPES, 'b', now(), state / 'keys.json')}"}
    weak = {"Authorization": f"Bearer {keys.add(PROJECT, ['predict'], 'c', now(), state / 'keys.json')}"}
    one, two = (httpx.post(f"{endpoint.url}/{p}/predict", headers=other, json={"samples": ["a"]}) for p in (PROJECT, "nothing"))
    assert refusal(one, 403) == refusal(two, 403)
    assert httpx.post(f"{endpoint.url}/{PROJECT}/predict", headers=weak, json={"samples": ["a"]}).status_code == 200
    for path in ("samples", "labels", "feedback"):
        assert "lacks the scope" in refusal(httpx.post(f"{endpoint.url}/{PROJECT}/{path}", headers=weak, json={}), 403)["error"]


def test_a_project_that_nobody_deployed(endpoint: Served, state: Path) -> None:
    headers = {"Authorization": f"Bearer {keys.add('fresh', keys.SCOPES, 'd', now(), state / 'keys.json')}"}
    answer = httpx.post(f"{endpoint.url}/fresh/predict", headers=headers, json={"samples": ["a"]})
    assert refusal(answer, 503)["error"] == "not serving: no model of 'fresh' is deployed"
    assert httpx.get(f"{endpoint.url}/fresh", headers=headers).json()["model"] is None
    assert httpx.post(f"{endpoint.url}/fresh/samples", headers=headers, json={"samples": ["early"]}).status_code == 202


def test_addresses_and_methods_that_are_not_there(client: httpx.Client) -> None:
    for path in (f"/{PROJECT}/predictions", f"/{PROJECT}/predict/", "/a/b/c", f"/{PROJECT}/../{PROJECT}/x", "/favicon.ico/x"):
        refusal(client.post(path, json={}), 404)
    wrong = client.get(f"/{PROJECT}/predict")
    refusal(wrong, 405)
    assert wrong.headers["allow"] == "POST"
    refusal(client.request("DELETE", f"/{PROJECT}"), 405)


def test_an_announced_body_above_the_limit_is_refused_before_it_is_sent(endpoint: Served, secret: str) -> None:
    import socket

    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = [f"POST /{PROJECT}/predict HTTP/1.1", "Host: x", f"Authorization: Bearer {secret}", "Content-Length: 10000001"]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_chunked_upload_of_100_mb_is_refused_and_fills_no_memory(endpoint: Served, client: httpx.Client) -> None:
    peak = before = sum(w.memory_info().rss for w in endpoint.workers())

    def chunks() -> Iterator[bytes]:
        nonlocal peak
        yield b'{"samples": ["'
        for n in range(1600):
            if n % 100 == 0:
                peak = max(peak, sum(w.memory_info().rss for w in endpoint.workers()))
            yield b"x" * 65_536

    start = time.monotonic()
    refusal(client.post(f"/{PROJECT}/predict", content=chunks()), 413)
    peak = max(peak, sum(w.memory_info().rss for w in endpoint.workers()))
    assert peak - before < 60_000_000
    assert time.monotonic() - start < 20


def test_a_body_just_below_the_limit_is_read(client: httpx.Client) -> None:
    body = json.dumps({"samples": ["x" * 9_999_900]})
    assert "too long" in refusal(client.post(f"/{PROJECT}/predict", content=body), 422)["error"]


def own_key(secret: str, state: Path) -> str:
    """The id of the key."""
    key = keys.verify(secret, state / "keys.json")
    assert key is not None
    return key.id


def test_pushed_samples_are_stored_once(client: httpx.Client, state: Path, secret: str) -> None:
    body = {"samples": ["pushed once", {"content": "with more", "label": "space", "labeler": "crm", "columns": {"stars": 4}}]}
    before = len(inbox(state, "samples"))
    first, second = (client.post(f"/{PROJECT}/samples", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    ids = [Text().sample_id("pushed once"), Text().sample_id("with more")]
    assert first.json() == second.json() == {"accepted": 2, "ids": ids}
    files = inbox(state, "samples")
    assert len(files) == before + 1
    [lines] = [f for f in files if f[0]["content"] == "pushed once"]
    by = {"client": "the app", "key": own_key(secret, state)}
    assert [{k: v for k, v in line.items() if k != "received_at"} for line in lines] == [
        {"content": "pushed once", **by},
        {"content": "with more", "label": "space", "labeler": "crm", "labeler_kind": "program", "columns": {"stars": 4}, **by},
    ]


def test_equal_samples_in_one_push_are_stored_once(client: httpx.Client, state: Path) -> None:
    assert client.post(f"/{PROJECT}/samples", json={"samples": ["twin", "twin"]}).json()["accepted"] == 1
    assert sum(line["content"] == "twin" for f in inbox(state, "samples") for line in f) == 1


def test_pushed_samples_are_what_collection_reads(client: httpx.Client) -> None:
    from ml_assets.collection.sources import Upload

    client.post(f"/{PROJECT}/samples", json={"samples": [{"content": "for collection", "label": "med", "labeler": "crm"}]})
    source = Upload(project=PROJECT)
    records = [r for f in source.files() for batch in source.read(f.uri) for r in batch]
    [found] = [r for r in records if getattr(r, "content", None) == "for collection"]
    assert (found.label, found.labeler, found.labeler_kind) == ("med", "crm", "program")


def test_pushed_labels(client: httpx.Client, state: Path, secret: str) -> None:
    body = {"labels": [{"sample_id": "abc", "label": "other", "labeler": "anna@example.org", "labeler_kind": "person"}]}
    first, second = (client.post(f"/{PROJECT}/labels", json=body) for _ in range(2))
    assert (first.status_code, first.json(), second.json()) == (202, {"accepted": 1, "ids": None}, first.json())
    [[line]] = [f for f in inbox(state, "labels") if f[0].get("sample_id") == "abc"]
    by = {"client": "the app", "key": own_key(secret, state)}
    assert {k: v for k, v in line.items() if k != "received_at"} == body["labels"][0] | by


def test_monitoring_reads_what_the_endpoint_writes(client: httpx.Client, state: Path, live: str, tmp_path: Path) -> None:
    [prediction] = client.post(f"/{PROJECT}/predict", json={"samples": ["watch me"]}).json()["predictions"]
    given = client.post(f"/{PROJECT}/feedback", json={"prediction_id": prediction["id"], "label": "med"}).json()["id"]
    copy, store = tmp_path / "segments", ProjectStore(PROJECT, tmp_path / "store")
    shutil.copytree(state / "inference" / PROJECT, copy)
    adopt(store, copy, now())
    [row] = store.table("inference_log").take([prediction["id"]]).to_pylist()
    assert (row["model"], row["text"], row["label"], row["client"]) == (live, "watch me", prediction["label"], "the app")
    assert json.loads(row["scores"]) == prediction["scores"]
    [answer] = store.table("feedback").take([given]).to_pylist()
    assert (answer["prediction_id"], answer["label"]) == (prediction["id"], "med")


def test_feedback_is_recorded_under_one_id(client: httpx.Client, state: Path) -> None:
    [prediction] = client.post(f"/{PROJECT}/predict", json={"samples": ["judge me"]}).json()["predictions"]
    body = {"prediction_id": prediction["id"], "label": "other"}
    answers = [client.post(f"/{PROJECT}/feedback", json=body) for _ in range(2)]
    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    stored = recorded(state)[answers[0].json()["id"]]
    assert (stored["kind"], stored["prediction_id"], stored["label"]) == ("feedback", prediction["id"], "other")
    assert stored["client"] == "the app"


def test_docs_follow_what_is_deployed(client: httpx.Client) -> None:
    found = client.get("/docs.json").json()
    assert set(found["paths"]) == {f"/{PROJECT}", *(f"/{PROJECT}/{p}" for p in ("predict", "samples", "labels", "feedback"))}
    shapes = found["components"]["schemas"]
    assert shapes[f"Prediction_{PROJECT}"]["properties"]["label"]["enum"] == list(CLASSES)
    assert shapes[f"PredictRequest_{PROJECT}"]["properties"]["samples"]["maxItems"] == 256


def test_metrics_count_requests_and_the_own_predictions(client: httpx.Client, live: str) -> None:
    def value(name: str) -> float:
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    name = f'ml_assets_predictions_total{{model="{live}",project="{PROJECT}"}}'
    before, refused = value(name), value('ml_assets_requests_total{route="predict",status="422"}')
    client.post(f"/{PROJECT}/predict", json={"samples": ["a", "b"]})
    client.post(f"/{PROJECT}/predict", json={})
    assert value(name) == before + 2
    assert value('ml_assets_requests_total{route="predict",status="422"}') == refused + 1


def test_damaged_keys_open_nothing(endpoint: Served, client: httpx.Client, state: Path) -> None:
    path = state / "keys.json"
    good = path.read_bytes()
    try:
        path.write_text("{")
        assert refusal(client.get(f"/{PROJECT}"), 503)["error"] == "the keys cannot be read"
    finally:
        path.write_bytes(good)
    assert client.get(f"/{PROJECT}").status_code == 200


def test_an_inbox_that_cannot_be_written_is_said(client: httpx.Client, state: Path) -> None:
    folder = state / "inbox" / PROJECT
    aside = folder.with_name("aside")
    folder.mkdir(parents=True, exist_ok=True)
    folder.rename(aside)
    folder.write_text("no folder")
    try:
        answer = client.post(f"/{PROJECT}/samples", json={"samples": ["lost?"]})
        assert refusal(answer, 503)["error"] == "the request cannot be stored at the moment"
    finally:
        folder.unlink()
        aside.rename(folder)


def test_logs_hold_no_traceback_and_nothing_that_was_sent(endpoint: Served, client: httpx.Client, secret: str) -> None:
    for path in ("predict", "samples", "labels", "feedback"):
        client.post(f"/{PROJECT}/{path}", json={"samples": [SECRET_TEXT, ""], SECRET_TEXT: 1})
        client.post(f"/{PROJECT}/{path}", content=SECRET_TEXT)
    client.post(f"/{PROJECT}/predict", json={"samples": [SECRET_TEXT]})
    text = endpoint.log.read_text()
    assert "Traceback" not in text
    assert SECRET_TEXT not in text
    assert secret not in text
