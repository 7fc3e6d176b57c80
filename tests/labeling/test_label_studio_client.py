"""The client, against the real server."""

import socket
import time
from typing import Any

import httpx
import pytest

from ml_assets.labeling.accounts import ensure_annotator, invite, sign_in
from ml_assets.labeling.label_studio import Answer, LabelStudio, LabelStudioRefused, LabelStudioUnavailable, stamp
from ml_assets.store import ProjectStore

from .animals import CONFIG, TASK


def tasks(*items: str) -> list[dict[str, Any]]:
    return [{"data": {"item_id": item, "content": f"text of {item}"}} for item in items]


def test_a_project_is_made_once_and_follows_its_settings(owner: LabelStudio, store: ProjectStore, ls_project: int) -> None:
    assert owner.ensure_project(store.project, CONFIG) == ls_project
    changed = CONFIG.replace("Which animal?", "Which pet?")
    assert owner.ensure_project(store.project, changed, annotators=2, title="Pets") == ls_project
    project = owner._sdk.projects.get(ls_project)
    assert (project.label_config, project.maximum_annotations) == (changed, 2)
    assert project.sampling == "Uncertainty sampling"
    assert owner.ensure_project(store.project + "_b", CONFIG) != ls_project
    owner._sdk.projects.update(ls_project, title="Renamed by people")
    assert owner.ensure_project(store.project, changed, annotators=2) == ls_project


def test_a_wrong_configuration_is_refused_in_one_sentence(owner: LabelStudio, store: ProjectStore, ls_project: int) -> None:
    with pytest.raises(LabelStudioRefused, match=r"refuses the project .* \(400: "):
        owner.ensure_project(store.project, "<View><Nonsense")


def test_pushing_twice_makes_no_second_task(owner: LabelStudio, ls_project: int) -> None:
    first = owner.push(ls_project, tasks("a", "b", "c"))
    assert owner.push(ls_project, tasks("c", "b", "d")) == {"b": first["b"], "c": first["c"], "d": first["c"] + 1}
    assert owner.count(ls_project) == 4
    assert owner.known_items(ls_project, ["a", "d", "no such"]) == {"a": first["a"], "d": first["c"] + 1}
    assert owner.task_ids(ls_project) == set(first.values()) | {first["c"] + 1}


def test_a_push_of_more_than_one_chunk_gives_each_item_its_own_task(owner: LabelStudio, ls_project: int) -> None:
    items = [f"item {i}" for i in range(1203)]
    pushed = owner.push(ls_project, tasks(*items))
    assert len(set(pushed.values())) == len(items) == owner.count(ls_project)
    sample = ["item 0", "item 999", "item 1000", "item 1202"]
    assert owner.known_items(ls_project, sample) == {item: pushed[item] for item in sample}
    [task] = owner.tasks_of(ls_project, ["item 1000"])
    assert task["id"] == pushed["item 1000"]


def test_an_import_whose_answer_is_lost_is_not_repeated(owner: LabelStudio, ls_project: int, monkeypatch: Any) -> None:
    real = owner._sdk.projects.import_tasks

    def lose_the_answer(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise httpx.RemoteProtocolError("Server disconnected")

    monkeypatch.setattr(owner._sdk.projects, "import_tasks", lose_the_answer)
    assert set(owner.push(ls_project, tasks("a", "b"))) == {"a", "b"}
    assert owner.count(ls_project) == 2


def test_the_lowest_score_is_asked_first(owner: LabelStudio, ls_project: int) -> None:
    scored = tasks("late", "soon", "first")
    for task, score in zip(scored, (0.9, 0.5, 0.1), strict=True):
        task["predictions"] = [{"result": [], "score": score, "model_version": "ml_assets"}]
    pushed = owner.push(ls_project, scored)
    for item in ("first", "soon", "late"):
        following = owner._http.get(
            f"{owner.url}/api/projects/{ls_project}/next", headers=owner._sdk._client_wrapper.get_headers()
        )
        assert following.json()["id"] == pushed[item]
        owner.add_annotations([Answer(pushed[item], TASK.to_label_studio("cat"))])


def test_annotating_twice_adds_none(owner: LabelStudio, ls_project: int) -> None:
    pushed = owner.push(ls_project, tasks("a", "b"))
    assert owner.add_annotations([Answer(pushed["a"], TASK.to_label_studio("cat"), 2.5)]) == 1
    answers = [Answer(pushed["a"], TASK.to_label_studio("dog")), Answer(pushed["b"], TASK.to_label_studio("dog"))]
    assert owner.add_annotations(answers) == 1
    [first] = owner.tasks_of(ls_project, ["a"])
    [annotation] = first["annotations"]
    assert (annotation["result"], annotation["lead_time"]) == (TASK.to_label_studio("cat"), 2.5)


def test_changes_go_on_after_pages_that_changed_meanwhile(owner: LabelStudio, ls_project: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("ml_assets.labeling.label_studio.tasks.PAGE", 4)
    pushed = owner.push(ls_project, tasks(*"abcdefghij"))
    pages = owner.changes(ls_project, None)
    first = next(pages)
    owner.add_annotations([Answer(first[0]["id"], TASK.to_label_studio("cat"))])  # moves to the end, and all others move up
    rest = [task for page in pages for task in page]
    assert {task["id"] for task in first + rest} == set(pushed.values())
    assert [len(task["annotations"]) for task in rest if task["id"] == first[0]["id"]] == [1]
    since = rest[-1]["updated_at"]
    assert [task["id"] for page in owner.changes(ls_project, since) for task in page] == [first[0]["id"]]


def test_an_invited_annotator_logs_in_and_answers_under_the_own_name(owner: LabelStudio, ls_project: int) -> None:
    login = invite(owner, "Ann@Example.org")
    assert login.email == "ann@example.org"
    ann = sign_in(login.url, login.email, login.password)
    assert ann.email == "ann@example.org"
    pushed = owner.push(ls_project, tasks("a"))
    assert ann.add_annotations([Answer(pushed["a"], TASK.to_label_studio("bird"))]) == 1
    [task] = owner.tasks_of(ls_project, ["a"])
    assert owner.users()[task["annotations"][0]["completed_by"]] == "ann@example.org"
    with pytest.raises(LabelStudioRefused, match=r"^ann@example\.org has an account already: log in at http"):
        invite(owner, "ann@example.org")
    with pytest.raises(LabelStudioRefused, match=r"does not log in ann@example\.org: The email and password"):
        sign_in(login.url, login.email, "wrong password")
    with pytest.raises(LabelStudioRefused, match=r"does not make an account for bob@example\.org: .*password"):
        invite(owner, "bob@example.org", "short")
    with pytest.raises(LabelStudioRefused, match="does not make an account for nobody"):
        invite(owner, "nobody")


def test_a_personal_access_token_works_as_well(owner: LabelStudio, label_studio: Any) -> None:
    legacy = ensure_annotator(owner, "pat@example.org", "a good password")
    again = ensure_annotator(owner, "pat@example.org", "a good password")
    assert legacy.email == again.email == "pat@example.org"
    headers = legacy._sdk._client_wrapper.get_headers()
    token = httpx.post(f"{label_studio.url}/api/token/", headers=headers, timeout=10).json()["token"]
    assert token.count(".") == 2
    assert LabelStudio(label_studio.url, token).email == "pat@example.org"


def test_without_legacy_tokens_an_annotator_gets_a_personal_one(owner: LabelStudio, personal_token: str) -> None:
    invite(owner, "jwt@example.org", "a good password")
    headers = owner._sdk._client_wrapper.get_headers()
    switch = f"{owner.url}/api/jwt/settings"
    back = LabelStudio(owner.url, personal_token)  # what still works when the other kind is switched off
    both = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    httpx.post(switch, headers=headers, json=both | {"legacy_api_tokens_enabled": False}, timeout=10).raise_for_status()
    try:
        modern = sign_in(owner.url, "jwt@example.org", "a good password")
        assert modern.email == "jwt@example.org"
        with pytest.raises(LabelStudioRefused, match=r"refuses the token \(401"):
            owner.users()
        with pytest.raises(LabelStudioRefused, match="has a personal access token already"):
            sign_in(owner.url, "jwt@example.org", "a good password")
    finally:
        back._http.post(switch, headers=back._sdk._client_wrapper.get_headers(), json=both).raise_for_status()


def test_a_server_that_is_down_is_named_with_what_starts_it() -> None:
    with pytest.raises(LabelStudioUnavailable, match=r"127.0.0.1:1 does not answer .*: start it with `ml-assets up`$"):
        LabelStudio("http://127.0.0.1:1", "0" * 40).users()
    with pytest.raises(LabelStudioUnavailable, match=r"127.0.0.1:1 does not answer .*: start it with `ml-assets up`$"):
        sign_in("http://127.0.0.1:1", "a@example.org", "a password")


def test_errors_are_one_sentence(label_studio: Any) -> None:
    with pytest.raises(LabelStudioRefused, match=r"refuses the token \(401: .*check LABEL_STUDIO_API_KEY"):
        LabelStudio(label_studio.url, "0" * 40).users()
    with pytest.raises(LabelStudioUnavailable, match=r"does not answer \(ConnectError\) when asked for the list of users"):
        LabelStudio("http://127.0.0.1:1", "0" * 40).users()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(LabelStudioUnavailable, match="is silent"):
            LabelStudio(f"http://127.0.0.1:{silent.getsockname()[1]}", "0" * 40, timeout=0.5).users()
        assert time.monotonic() - start < 5


def test_a_missing_project_is_refused(owner: LabelStudio) -> None:
    with pytest.raises(LabelStudioRefused, match="project 987654"):
        owner.created_at(987654)


def test_times_sort_as_text(owner: LabelStudio, ls_project: int) -> None:
    pushed = owner.push(ls_project, tasks("a", "b"))
    owner.add_annotations([Answer(pushed["b"], TASK.to_label_studio("cat"))])
    count, recent = owner.annotated(ls_project, limit=5)
    assert (count, list(recent)) == (1, [pushed["b"]])
    [task] = owner.tasks_of(ls_project, ["b"])
    assert recent[pushed["b"]] == stamp(task["updated_at"])
