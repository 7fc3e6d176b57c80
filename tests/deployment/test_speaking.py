"""A key speaks as itself, or in names that it was given; labels of the test do not change by a push."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.deployment import intake, keys
from ml_assets.state.home import home
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .inside import inside, key
from .serving import PROJECT, make_model

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), "letters-1", 1)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    return tmp_path


def push(model: Path, secret: str, kind: str, body: dict[str, Any]) -> httpx.Response:
    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(f"/{PROJECT}/{kind}", json={kind: [body]})

    answer: httpx.Response = inside(model, ask, secret)
    return answer


def lines() -> list[dict[str, Any]]:
    found = sorted((home() / "inbox").rglob("*.jsonl"))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


@pytest.mark.parametrize("labeler", ["published", "Published", "monitoring", "production", "admin@localhost.example", "crm"])
@pytest.mark.parametrize("kind", ["samples", "labels"])
def test_a_key_cannot_label_in_another_name(model: Path, kind: str, labeler: str) -> None:
    answer = push(model, key(PROJECT), kind, {"content": "a sample", "label": "space", "labeler": labeler})
    assert answer.status_code == 403
    assert "may not speak as" in answer.json()["error"]
    assert lines() == []


def test_a_key_cannot_claim_to_be_a_person(model: Path) -> None:
    secret = key(PROJECT, speaks_for=["crm"])
    for labeler in ({}, {"labeler": "crm"}):
        answer = push(model, secret, "labels", {"content": "a", "label": "space", "labeler_kind": "person", **labeler})
        assert answer.status_code == 403
    answer = push(model, secret, "labels", {"content": "a", "label": "space", "labeler_kind": "published"})
    assert answer.status_code == 422
    assert lines() == []


def test_labels_inside_samples_need_the_scope_label_too(model: Path) -> None:
    secret = key(PROJECT, scopes=("collect",))
    answer = push(model, secret, "samples", {"content": "a", "label": "space"})
    assert (answer.status_code, "lacks the scope 'label'" in answer.json()["error"]) == (403, True)
    assert push(model, secret, "samples", {"content": "a"}).status_code == 202
    assert ["label" in line for line in lines()] == [False]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("the app", "program")),
        ({"labeler": "crm"}, ("crm", "program")),
        ({"labeler": "anna@example.org"}, ("anna@example.org", "person")),
    ],
)
@pytest.mark.parametrize("kind", ["samples", "labels"])
def test_what_is_kept_says_who_spoke_and_with_which_key(
    model: Path, kind: str, given: dict[str, str], expected: tuple[str, str]
) -> None:
    secret = key(PROJECT, speaks_for=["crm", "anna@example.org"])
    assert push(model, secret, kind, {"content": "a", "label": "space", **given}).status_code == 202
    [line] = lines()
    [known] = keys.list_keys(PROJECT)
    assert (line["labeler"], line["labeler_kind"]) == expected
    assert (line["client"], line["key"]) == ("the app", known.id)


def test_a_key_of_the_version_before_goes_on_and_speaks_as_itself_alone(model: Path) -> None:
    secret = key(PROJECT)
    path = home() / "keys.json"
    entries = json.loads(path.read_text())
    for entry in entries["keys"]:
        del entry["speaks_for"]
        entry["name"] = "caf\udce9\n"  # which that version took
    path.write_text(json.dumps(entries))
    body = {"content": "a", "label": "space"}
    assert push(model, secret, "labels", body).status_code == 202
    assert push(model, secret, "labels", body | {"labeler": "crm"}).status_code == 403
    assert lines()[0]["client"].isprintable()


@pytest.mark.parametrize("name", ["café", "日本", "caf\udcc3\udca9", "Ω" * 100])
def test_a_key_of_any_name_is_answered(model: Path, name: str) -> None:
    async def ask(client: httpx.AsyncClient) -> list[int]:
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("predict", {"samples": ["a"]}),
            ("samples", {"samples": [{"content": "a", "label": "space"}]}),
            ("labels", {"labels": [{"content": "a", "label": "space"}]}),
            ("feedback", {"prediction_id": "0" * 32, "label": "space"}),
        ]
        posted = [(await client.post(f"/{PROJECT}/{path}", json=body)).status_code for path, body in bodies]
        return [*posted, (await client.get("/metrics")).status_code, (await client.get(f"/{PROJECT}")).status_code]

    assert inside(model, ask, key(PROJECT, name)) == [200, 202, 202, 202, 200, 200]
    for path in home().rglob("*.jsonl"):
        assert path.read_bytes().decode()


@pytest.mark.parametrize("name", ["caf\udce9", "a\nb", "", "x" * 101, "anna@example.org", "Published"])
def test_a_key_cannot_be_named_so(name: str) -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        key(PROJECT, name)
    assert "\n" not in str(caught.value)
    assert not (home() / "keys.json").exists()


def test_a_key_that_speaks_for_others_is_one_that_labels() -> None:
    with pytest.raises(keys.UnknownScope, match="--scope label"):
        key(PROJECT, scopes=("collect",), speaks_for=["crm"])
    with pytest.raises(ValueError, match="names of the installation"):
        key(PROJECT, speaks_for=["published"])


def test_labels_of_test_samples_that_came_with_the_data_are_settled() -> None:
    store = ProjectStore(PROJECT)
    samples = [{"id": name, "text": name, "split": split} for name, split in (("t1", "test"), ("t2", "test"), ("n1", "train"))]
    store.table("samples").upsert(rows("samples", samples))
    kinds = (("t1", "published"), ("t2", "program"), ("n1", "published"))
    given = [
        {"id": f"g-{s}", "sample_id": s, "labeler": kind, "labeler_kind": kind, "value": "space", "at": AT} for s, kind in kinds
    ]
    store.table("given_labels").upsert(rows("given_labels", given))
    assert intake.settled(store, {"t1": "med", "t2": "med", "n1": "med", "unknown'": "med"}) == {"t1"}
    assert intake.settled(store, {"t1": "space"}) == set(), "the same answer changes nothing"
    assert intake.settled(ProjectStore("nothing"), {"t1": "med"}) == set()
