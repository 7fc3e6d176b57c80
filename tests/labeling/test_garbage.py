"""A server that answers anything but what Label Studio answers: each call fails with one sentence, and nothing else."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from ml_assets.labeling.accounts import invite, sign_in
from ml_assets.labeling.annotations import read_tasks
from ml_assets.labeling.label_studio import Answer, LabelStudio, LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import push_queue, short
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.tasks import Boxes, MultipleChoice, SingleChoice, Spans, Task

from .animals import AT, CONFIG, TASK, fill, settings, vectors

DEEP = b"[" * 100_000
GARBAGE = {
    "nothing": b"",
    "a page": b"<html><h1>Bad gateway</h1>",
    "half JSON": b'{"id": 1, "tasks": [{"id": 1, "da',
    "no text": b"\xff\xfe\x00{",
    "null": b"null",
    "a number": b"7",
    "a text": b'"x"',
    "an empty list": b"[]",
    "a list of nothing": b"[null, null]",
    "an empty object": b"{}",
    "other kinds": b'{"id": "x", "tasks": "x", "total": "many", "results": 5, "count": "x", "email": 5, "task_ids": {"a": 1}}',
    "lists of others": b'{"tasks": [5, "x", null], "total": 3, "results": ["x"], "count": 1, "task_ids": ["x"]}',
    "tasks without ids": b'{"tasks": [{"data": {}}], "total": 1, "results": [{}], "count": 1}',
    "deep": DEEP,
}


class Garbage(BaseHTTPRequestHandler):
    """Answers the same, whatever it is asked."""

    status, body = 200, b""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Garbage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def calls(client: LabelStudio) -> list[Callable[[], Any]]:
    """Every call of the client."""
    one = {"data": {"item_id": "a"}, "predictions": [{"result": [], "score": 0.5}]}
    return [
        lambda: client.email,
        client.users,
        client.invite_link,
        client.new_invite_link,
        lambda: client.ensure_project("p", CONFIG),
        lambda: client.ensure_local_files(1, "/x"),
        lambda: client.created_at(1),
        lambda: client.push(1, [one]),
        lambda: client.known_items(1, ["a"]),
        lambda: client.tasks_of(1, ["a"]),
        lambda: list(client.changes(1, None)),
        lambda: client.annotated(1),
        lambda: client.waiting(1, 1),
        lambda: client.count(1),
        lambda: client.task_ids(1),
        lambda: client.add_annotations([Answer(1, TASK.to_label_studio("cat"))]),
        lambda: invite(client, "ann@example.org"),
        lambda: sign_in(client.url, "ann@example.org", "a good password"),
    ]


def said_by(call: Callable[[], Any]) -> str:
    """The sentence with which it fails; the empty string if it does not."""
    try:
        call()
    except (LabelStudioRefused, LabelStudioUnavailable) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("status", [200, 302, 400, 500])
@pytest.mark.parametrize("kind", GARBAGE)
def test_every_call_answers_or_fails_with_one_sentence(kind: str, status: int, address: str) -> None:
    Garbage.status, Garbage.body = status, b"" if status == 204 else GARBAGE[kind]
    client = LabelStudio(address, "0" * 40, timeout=5)
    for call in calls(client):
        said = said_by(call)
        assert "\n" not in said
        assert len(said) < 700
    client.close()


def test_a_list_that_is_none_is_never_taken_for_an_empty_one(address: str) -> None:
    """Empty lists would say that all tasks were deleted."""
    client = LabelStudio(address, "0" * 40, timeout=5)
    for kind in ("nothing", "a page", "half JSON", "null", "an empty object", "other kinds", "lists of others", "deep"):
        Garbage.status, Garbage.body = 200, GARBAGE[kind]
        for call in (lambda: client.task_ids(1), lambda: client.users(), lambda: client.annotated(1)):
            with pytest.raises(LabelStudioUnavailable, match=r"^http\S+ answers as no Label Studio does when asked for "):
                call()
    client.close()


STRANGE: list[Any] = [
    {"content": "no id"},
    {"item_id": 5, "content": "a number"},
    {"item_id": {"a": [1]}, "content": "an object"},
    {"item_id": "nobody knows this one"},
    {"item_id": "", "content": ""},
    {"item_id": "x\x00y'; --", "content": "\U0001f600" * 300},
    {"text": "other fields"},
]


def test_tasks_that_people_imported_by_hand_stop_neither_queue_nor_pull(
    owner: LabelStudio, store: ProjectStore, ls_project: int
) -> None:
    fill(store, 6)
    push_queue(store, owner, settings(size=4), Text(), vectors, AT)
    headers = owner._sdk._client_wrapper.get_headers()
    owner._sdk.projects.update(ls_project, label_config="<View></View>")  # so that the server takes any data
    made = httpx.post(
        f"{owner.url}/api/projects/{ls_project}/import?return_task_ids=true",
        json=[{"data": data} for data in STRANGE],
        headers=headers,
        timeout=60,
    )
    assert made.status_code == 201, made.text
    by_hand = made.json()["task_ids"]
    owner._sdk.projects.update(ls_project, label_config=CONFIG)
    for task, result in zip(by_hand, RESULTS, strict=False):  # the server refuses some of them, and stores others
        httpx.post(f"{owner.url}/api/tasks/{task}/annotations/", json={"result": result}, headers=headers, timeout=30)
    tasks = store.table("label_tasks").read()["task_id"].to_pylist()
    owner.add_annotations([Answer(tasks[0], TASK.to_label_studio("cat"))])
    found = pull(store, owner, ls_project, TASK)
    assert found.changed >= 1
    assert {wrong.task_id for wrong in found.invalid} <= set(by_hand)
    assert len(found.invalid) >= 2
    assert "cat" in store.table("annotations").read()["value"].to_pylist()
    assert push_queue(store, owner, settings(size=6), Text(), vectors, AT).pushed >= 0
    assert isinstance(short(store, owner, settings(size=6)), str)


RESULTS: list[Any] = [
    [{"from_name": "label", "to_name": "content", "type": "choices", "value": {"choices": ["cat"]}}],
    [{"value": "x"}],
    [{"from_name": "label", "value": {"choices": [["cat"]]}}],
    [5, None, "x"],
    [{"from_name": "label", "value": {"choices": {"a": 1}, "labels": 7, "rectanglelabels": [[]], "start": "x"}}],
]


MORE: list[Any] = [[[]], [{"from_name": "label", "value": {"x": float("inf"), "labels": ["a"]}}], ["x" * 9]]
TASKS: list[Task] = [kind(classes=("a", "b")) for kind in (SingleChoice, MultipleChoice, Spans, Boxes)]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("result", [*RESULTS, *MORE])
def test_a_result_of_any_shape_is_a_label_or_invalid(task: Task, result: Any) -> None:
    annotation = {"id": 1, "result": result, "completed_by": 1, "created_at": AT, "updated_at": AT}
    table, invalid = read_tasks([{"id": 1, "data": {"item_id": "a"}, "annotations": [annotation]}], task, {})
    assert table.num_rows + len(invalid) == 1
