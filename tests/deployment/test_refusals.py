"""A request that is wrong: its status in the one shape, no traceback, nothing of it in the log, and nothing changed."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.deployment import bento, keys
from ml_assets.deployment.rollout import deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import SCHEMAS

from .serving import PROJECT, Served, make_model

MARK = "plugh-must-not-be-logged"
TOO_LONG = "a sample that is longer than the model takes"
HUNDRED_MB = 100_000_000
pytestmark = pytest.mark.usefixtures("live")


def standing(state: Path, project: str = PROJECT) -> dict[str, Any]:
    """All that a request could change: the tables, the inbox, the predictions and feedback, the keys."""
    tables = {name: ProjectStore(project).table(name).digest() for name in SCHEMAS}
    folders = [state / "inbox" / project, state / "inference" / project]
    files = {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
    return tables | files | {"keys": (state / "keys.json").read_bytes()}


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error", "detail"}
    assert body["error"]
    assert "\n" not in body["error"]
    assert "Traceback" not in answer.text
    assert MARK not in answer.text
    return body


def chunks() -> Iterator[bytes]:
    yield b'{"samples": ["' + MARK.encode()
    for _ in range(HUNDRED_MB // 65_536 + 1):
        yield b"x" * 65_536
    yield b'"]}'


def revoked(state: Path) -> str:
    secret = keys.add(PROJECT, keys.SCOPES, "gone", now(), state / "keys.json")
    found = keys.verify(secret, state / "keys.json")
    assert found is not None
    keys.revoke(found.id, state / "keys.json")
    return secret


WRONG: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
    "a wrong field": (422, lambda: {"json": {"samples": [MARK], "model": MARK}}),
    "a missing field": (422, lambda: {"json": {}}),
    "a wrong type": (422, lambda: {"json": {"samples": {MARK: MARK}}}),
    "an empty list": (422, lambda: {"json": {"samples": []}}),
    "an empty sample among good ones": (422, lambda: {"json": {"samples": [MARK, " "]}}),
    TOO_LONG: (422, lambda: {"json": {"samples": [MARK * 5000]}}),
    "broken JSON": (400, lambda: {"content": '{"samples": ["' + MARK}),
    "no JSON": (400, lambda: {"content": MARK}),
    "no body": (400, lambda: {"content": b""}),
    "bytes": (400, lambda: {"content": b"\xff\xfe" + MARK.encode()}),
    "a form": (400, lambda: {"data": {"samples": MARK}}),
    "100 MB": (413, lambda: {"content": chunks()}),
}


@pytest.mark.parametrize(
    ("route", "wrong"), [(r, w) for w in WRONG for r in ("predict", "samples") if (r, w) != ("samples", TOO_LONG)]
)
def test_a_wrong_body_changes_nothing(
    endpoint: Served, client: httpx.Client, secret: str, state: Path, route: str, wrong: str
) -> None:
    status, made = WRONG[wrong]
    before, logged = standing(state), endpoint.log.stat().st_size
    refused(client.post(f"/{PROJECT}/{route}", **made()), status)
    assert standing(state) == before
    said = endpoint.log.read_bytes()[logged:].decode()
    for secret_part in ("Traceback", MARK, secret):
        assert secret_part not in said


@pytest.mark.parametrize(
    ("key", "status"), [("none", 401), ("wrong", 401), ("revoked", 401), ("another's", 403), ("weak", 403)]
)
def test_a_wrong_key_changes_nothing(endpoint: Served, state: Path, key: str, status: int) -> None:
    path = state / "keys.json"
    secrets = {
        "none": lambda: "",
        "wrong": lambda: f"mla_{MARK}",
        "revoked": lambda: revoked(state),
        "another's": lambda: keys.add("another", keys.SCOPES, "b", now(), path),
        "weak": lambda: keys.add(PROJECT, ["feedback"], "c", now(), path),
    }
    secret = secrets[key]()
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    before, logged = standing(state), endpoint.log.stat().st_size
    for route in ("predict", "samples", "labels"):
        refused(httpx.post(f"{endpoint.url}/{PROJECT}/{route}", headers=headers, json={"samples": [MARK]}), status)
    assert standing(state) == before
    said = endpoint.log.read_bytes()[logged:].decode()
    assert "Traceback" not in said
    assert MARK not in said
    assert not secret or secret not in said


def test_a_key_that_works_is_refused_as_soon_as_it_is_revoked(endpoint: Served, state: Path) -> None:
    path = state / "keys.json"
    secret = keys.add(PROJECT, ["predict"], "short-lived", now(), path)
    with httpx.Client(base_url=endpoint.url, headers={"Authorization": f"Bearer {secret}"}) as client:
        assert client.get(f"/{PROJECT}").status_code == 200
        found = keys.verify(secret, path)
        assert found is not None
        keys.revoke(found.id, path)
        refused(client.get(f"/{PROJECT}"), 401)


def test_a_full_disk_is_503_and_the_endpoint_goes_on(endpoint: Served, client: httpx.Client, state: Path) -> None:
    """No process may write a byte more to a file: predictions that cannot be recorded are not given."""
    client.post(f"/{PROJECT}/predict", json={"samples": ["before"]})
    before, workers = standing(state), endpoint.workers()
    limits = {worker.pid: resource.prlimit(worker.pid, resource.RLIMIT_FSIZE) for worker in workers}
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        for route in ("predict", "samples"):
            for _ in range(4):  # whichever worker has it
                answer = httpx.post(f"{endpoint.url}/{PROJECT}/{route}", headers=client.headers, json={"samples": [MARK]})
                assert refused(answer, 503)["error"] == "the request cannot be stored at the moment"
        deadline = time.monotonic() + 3  # the heartbeat of each second cannot be written either
        while time.monotonic() < deadline:
            assert httpx.get(f"{endpoint.url}/{PROJECT}", headers=client.headers).status_code == 200
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    assert standing(state) == before
    assert {worker.pid for worker in endpoint.workers()} == {worker.pid for worker in workers}
    assert client.post(f"/{PROJECT}/predict", json={"samples": ["after"]}).status_code == 200
    assert MARK not in endpoint.log.read_text()


def test_more_requests_than_the_limit_are_429_for_this_key_alone(endpoint: Served, state: Path, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", "hurried-1", 3, project="hurried")
    built = bento.build(model, "hurried", "hurried-1", DeploymentSettings(requests_per_minute=5))
    deploy(ProjectStore("hurried"), "hurried-1", built.tag, "a test", 120, now(), lambda _: None)
    eager, other = (keys.add("hurried", ["predict"], name, now(), state / "keys.json") for name in ("eager", "other"))
    body = {"samples": ["a goal"]}
    with httpx.Client(base_url=endpoint.url) as client:
        limits = client.get("/hurried", headers={"Authorization": f"Bearer {other}"}).json()["limits"]
        assert limits["requests_per_minute"] == 5
        ask = {"url": "/hurried/predict", "headers": {"Authorization": f"Bearer {eager}"}, "json": body}
        answers = [client.post(**ask) for _ in range(11)]  # each of the two workers counts its own
        before = standing(state, "hurried")
        late = answers[-1]
        assert refused(late, 429)["error"] == "too many requests with this key: at most 5 in a minute"
        assert 1 <= int(late.headers["retry-after"]) <= 12
        assert 5 <= sum(answer.status_code == 200 for answer in answers) <= 10
        assert standing(state, "hurried") == before
        wrong = client.post("/hurried/predict", headers={"Authorization": f"Bearer mla_{MARK}"}, json=body)
        refused(wrong, 401)
        assert client.post("/hurried/predict", headers={"Authorization": f"Bearer {other}"}, json=body).status_code == 200
