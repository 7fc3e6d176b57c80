"""Label Studio as `ml-assets up` runs it, attacked by pages of other origins and by annotators."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from ml_assets.labeling.accounts import invite
from ml_assets.labeling.label_studio import Answer, LabelStudio
from ml_assets.services import catalogue

from .animals import CONFIG, TASK

ELSEWHERE = "http://elsewhere.example"


@dataclass(frozen=True)
class Scene:
    """An annotator who is logged in, as a browser is, and what others own."""

    url: str
    me: httpx.Client
    my_id: int
    owner_id: int
    project: int
    task: int
    theirs: int
    draft: int
    their_key: str
    view: int


@pytest.fixture(scope="module")
def scene(owner: LabelStudio) -> Iterator[Scene]:
    """A project with one task that the owner has answered, and an annotator."""
    login = invite(owner, "mallory@example.org", "a good password")
    project = owner.ensure_project("guarded", CONFIG)
    [task] = owner.push(project, [{"data": {"item_id": "a", "content": "text of a"}}]).values()
    owner.add_annotations([Answer(task, TASK.to_label_studio("cat"))])
    [row] = owner.tasks_of(project, ["a"])
    ids = {email: number for number, email in owner.users().items()}
    draft = httpx.post(
        f"{owner.url}/api/tasks/{task}/drafts",
        json={"result": [], "lead_time": 1},
        headers=owner._sdk._client_wrapper.get_headers(),
        timeout=30,
    )
    draft.raise_for_status()
    view = httpx.post(
        f"{owner.url}/api/dm/views/",
        json={"project": project, "data": {"title": "theirs"}},
        headers=owner._sdk._client_wrapper.get_headers(),
        timeout=30,
    )
    view.raise_for_status()
    with httpx.Client(base_url=owner.url, timeout=30) as browser:
        page = browser.get("/user/login/").text
        token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        fields = {"email": login.email, "password": login.password, "csrfmiddlewaretoken": token}
        assert browser.post("/user/login/", data=fields, headers={"Referer": owner.url}).status_code == 302
        theirs = int(row["annotations"][0]["id"])
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"ml_assets task {task} somebody@example.org"))
        ids_of = (ids[login.email], ids[owner.email], project, task, theirs, int(draft.json()["id"]))
        yield Scene(owner.url, browser, *ids_of, key, int(view.json()["id"]))


@pytest.fixture
def before(owner: LabelStudio, scene: Scene) -> Iterator[None]:
    """Nothing of what the owner made differs after the test."""

    def state() -> Any:
        headers = owner._sdk._client_wrapper.get_headers()
        paths = [f"/api/projects/{scene.project}", f"/api/annotations/{scene.theirs}", f"/api/users/{scene.owner_id}"]
        found = [httpx.get(owner.url + path, headers=headers, timeout=30).json() for path in paths]
        ignored = ("last_activity", "queue_done", "queue_left", "queue_total", "created_ago", "config_has_control_tags")
        return [{key: value for key, value in item.items() if key not in ignored} for item in found]

    was = state()
    yield
    assert state() == was


# what an annotator can do on a server with its defaults, each tried there
FORBIDDEN = {
    "change the question": ("PATCH", "/api/projects/{project}/", {"label_config": CONFIG.replace("cat", "cow")}),
    "take the line away by which the project is found": ("PATCH", "/api/projects/{project}/", {"description": ""}),
    "change it without the slash": ("PATCH", "/api/projects/{project}", {"title": "mine"}),
    "delete the project": ("DELETE", "/api/projects/{project}/", None),
    "make a project": ("POST", "/api/projects/", {"title": "another"}),
    "rename the administrator": ("PATCH", "/api/users/{owner_id}/", {"first_name": "Nobody"}),
    "rename the administrator in another spelling": ("PATCH", "/api/users/{owner_id}.json", {"first_name": "Nobody"}),
    "change to another organisation": ("PATCH", "/api/users/{my_id}/", {"active_organization": None}),
    "make a user": ("POST", "/api/users/", {"email": "x@example.org", "username": "x"}),
    "delete the administrator": ("DELETE", "/api/users/{owner_id}/", None),
    "read the invitation link": ("GET", "/api/invite", None),
    "make a new invitation link": ("POST", "/api/invite/reset-token", {}),
    "rename the organisation": ("PATCH", "/api/organizations/1", {"title": "Mine"}),
    "read who is a member": ("GET", "/api/organizations/1/memberships", None),
    "remove a member": ("DELETE", "/api/organizations/1/memberships/{owner_id}/", None),
    "switch tokens off": ("POST", "/api/jwt/settings", {"api_tokens_enabled": False, "legacy_api_tokens_enabled": False}),
    "change how long people stay logged in": ("PATCH", "/api/session-policy/", {"max_session_age": 1}),
    "change a task": ("PATCH", "/api/tasks/{task}/", {"data": {"item_id": "a", "content": "other"}}),
    "delete a task": ("DELETE", "/api/tasks/{task}/", None),
    "make a task": ("POST", "/api/tasks/", {"project": "{project}", "data": {"content": "x"}}),
    "import tasks": ("POST", "/api/projects/{project}/import", [{"data": {"content": "x"}}]),
    "delete all tasks": ("DELETE", "/api/projects/{project}/tasks/", None),
    "delete all tasks by an action": (
        "POST",
        "/api/dm/actions/?id=delete_tasks&project={project}",
        {"selectedItems": {"all": True}},
    ),
    "delete all by a doubled action": (
        "POST",
        "/api/dm/actions/?id=next_task&id=delete_tasks&project={project}",
        {"selectedItems": {"all": True, "excluded": []}},
    ),
    "delete all answers by an action": (
        "POST",
        "/api/dm/actions/?id=delete_tasks_annotations&project={project}",
        {"selectedItems": {"all": True, "excluded": []}},
    ),
    "export everything": ("GET", "/api/projects/{project}/export?exportType=JSON", None),
    "make a snapshot": ("POST", "/api/projects/{project}/exports/", {}),
    "change somebody's answer": ("PATCH", "/api/annotations/{theirs}/", {"result": []}),
    "replace somebody's answer": ("PUT", "/api/annotations/{theirs}/", {"result": []}),
    "delete somebody's answer": ("DELETE", "/api/annotations/{theirs}/", None),
    "turn somebody's answer into a draft": ("POST", "/api/annotations/{theirs}/convert-to-draft", {}),
    "write into somebody's answer": ("POST", "/api/tasks/{task}/annotations/{theirs}/drafts", {"result": []}),
    "change somebody's draft": ("PATCH", "/api/drafts/{draft}/", {"result": [], "lead_time": 9}),
    "delete somebody's draft": ("DELETE", "/api/drafts/{draft}/", None),
    "answer in somebody's name": (
        "POST",
        "/api/tasks/{task}/annotations/",
        {"result": TASK.to_label_studio("dog"), "completed_by": "{owner_id}"},
    ),
    "take the name of somebody's next answer": (
        "POST",
        "/api/tasks/{task}/annotations/",
        {"result": TASK.to_label_studio("dog"), "unique_id": "{their_key}"},
    ),
    "draft over somebody's answer": ("POST", "/api/tasks/{task}/drafts", {"result": [], "annotation": "{theirs}"}),
    "answer as the truth": (
        "POST",
        "/api/tasks/{task}/annotations/",
        {"result": TASK.to_label_studio("dog"), "ground_truth": True},
    ),
    "make a prediction": ("POST", "/api/predictions/", {"task": "{task}", "result": []}),
    "add a storage": ("POST", "/api/storages/localfiles/", {"project": "{project}", "path": "/"}),
    "list a folder": ("POST", "/api/storages/localfiles/files", {"project": "{project}", "path": "/"}),
    "export to a storage": ("POST", "/api/storages/export/localfiles", {"project": "{project}", "path": "/tmp"}),
    "add a webhook": ("POST", "/api/webhooks/", {"url": ELSEWHERE, "project": "{project}"}),
    "add a model": ("POST", "/api/ml/", {"url": ELSEWHERE, "project": "{project}"}),
    "change what a list shows to all": ("PATCH", "/api/dm/views/{view}/", {"data": {"title": "mine"}}),
    "delete a list": ("DELETE", "/api/dm/views/{view}/", None),
    "drop all lists": ("DELETE", "/api/dm/views/reset/", {"project": "{project}"}),
    "add a custom label": ("POST", "/api/labels/", {"project": "{project}"}),
    "move a project's state": ("POST", "/api/fsm/entities/project/{project}/transition/", {"transition_name": "x"}),
    "see the settings": ("GET", "/projects/{project}/settings/", None),
    "see the organisation": ("GET", "/organization/", None),
    "see the server's figures": ("GET", "/metrics/", None),
    "see the switches": ("GET", "/feature-flags/", None),
    "see Django's pages": ("GET", "/admin/users/user/", None),
    "see the queues": ("GET", "/django-rq/", None),
}


def filled(value: Any, scene: Scene) -> Any:
    if isinstance(value, str):
        text = value.format_map(vars(scene)) if "{" in value and "<" not in value else value
        return int(text) if value.startswith("{") and text.isdigit() else text
    if isinstance(value, dict):
        return {key: filled(item, scene) for key, item in value.items()}
    return [filled(item, scene) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.usefixtures("before")
def test_an_annotator_may_not(what: str, scene: Scene) -> None:
    method, path, body = FORBIDDEN[what]
    answer = scene.me.request(method, filled(path, scene), json=filled(body, scene) if body is not None else None)
    assert answer.status_code == 403, (answer.status_code, answer.text[:300])


@pytest.mark.usefixtures("before")
def test_a_token_of_an_annotator_allows_no_more_than_the_pages(scene: Scene) -> None:
    token = scene.me.get("/api/current-user/token").json()["token"]
    refresh = scene.me.post("/api/token/").json()["token"]
    access = httpx.post(f"{scene.url}/api/token/refresh/", json={"refresh": refresh}, timeout=30).json()["access"]
    ways = [{"Authorization": f"Token {token}"}, {"X-Api-Key": token}, {"Authorization": f"Bearer {access}"}]
    for headers in ways:
        assert httpx.get(f"{scene.url}/api/current-user/whoami", headers=headers, timeout=30).json()["id"] == scene.my_id
        answer = httpx.patch(f"{scene.url}/api/projects/{scene.project}/", headers=headers, json={"title": "mine"}, timeout=30)
        assert (answer.status_code, answer.json()["detail"]) == (403, "only administrators may do this")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/x-www-form-urlencoded", "result=[]&completed_by={owner_id}"),
        (
            "application/json; charset=utf-7",
            '{{"result": [], "a": "+ACI-, +ACI-completed_by+ACI-: {owner_id}, +ACI-b+ACI-: +ACI-"}}',
        ),
        ("application/json", '{{"result": [], "completed_by": {my_id}, "completed_by": {owner_id}}}'),
        ("application/json", "[]"),
        ("application/json", "{{"),
    ],
)
def test_an_answer_in_a_form_that_could_be_read_in_two_ways_is_refused(kind: str, content: str, scene: Scene) -> None:
    text = content.format_map(vars(scene))
    answer = scene.me.post(f"/api/tasks/{scene.task}/annotations/", content=text, headers={"Content-Type": kind})
    assert answer.status_code == 403


def test_an_annotator_gives_changes_and_takes_back_the_own_answer(scene: Scene) -> None:
    answer = {"result": TASK.to_label_studio("dog"), "lead_time": 1.5, "unique_id": str(uuid.uuid4())}
    made = scene.me.post(f"/api/tasks/{scene.task}/annotations/", json=answer)
    assert (made.status_code, made.json()["completed_by"]) == (201, scene.my_id)
    mine = f"/api/annotations/{made.json()['id']}/"
    assert scene.me.patch(mine, json={"result": TASK.to_label_studio("bird")}).json()["result"] == TASK.to_label_studio("bird")
    place = {"project": str(scene.project), "task": scene.task}  # as the editor sends it
    assert scene.me.patch(mine, json={"result": TASK.to_label_studio("cat")} | place).status_code == 200
    for other in (
        {"completed_by": scene.owner_id},
        {"completed_by": str(scene.owner_id)},
        {"task": scene.task + 1},
        {"project": str(scene.project + 1)},
        {"task": [scene.task]},
    ):
        assert scene.me.patch(mine, json=other).status_code == 403
    assert scene.me.delete(mine).status_code == 204


def test_an_annotator_makes_and_changes_own_lists(scene: Scene) -> None:
    made = scene.me.post("/api/dm/views/", json={"project": scene.project, "data": {"title": "mine"}})
    assert made.status_code == 201
    mine = f"/api/dm/views/{made.json()['id']}/"
    assert scene.me.patch(mine, json={"data": {"title": "still mine"}}).status_code == 200
    assert scene.me.patch(mine, json={"user": scene.owner_id}).status_code == 403
    assert scene.me.delete(mine).status_code == 204


def test_an_annotator_changes_the_own_name(scene: Scene) -> None:
    assert scene.me.patch(f"/api/users/{scene.my_id}/", json={"first_name": "Mal"}).json()["first_name"] == "Mal"


def test_without_a_login_nothing_is_shown(scene: Scene) -> None:
    for path in ("/api/projects/", f"/api/tasks/{scene.task}/", "/api/users/", "/api/invite"):
        assert httpx.get(scene.url + path, timeout=30).status_code == 401, path
    for path in ("/", f"/projects/{scene.project}/data/", "/metrics/", "/feature-flags/", "/admin/", "/data/local-files/?d=x"):
        answer = httpx.get(scene.url + path, timeout=30)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (302, "/user/login/"), path
    assert httpx.get(f"{scene.url}/health", timeout=30).status_code == 200


# ---- pages of other origins ----


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "0.0.0.0", "elsewhere.example:80", "", "a b"]
)
@pytest.mark.parametrize("path", ["/user/login/", "/api/version", "/health", "/static/x", "/sw.js"])
def test_a_foreign_host_is_refused(scene: Scene, host: str, path: str) -> None:
    answer = scene.me.get(path, headers={"Host": host})
    assert answer.status_code == 400


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_a_foreign_origin_may_read_nothing(scene: Scene, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
        answer = scene.me.request(method, "/api/projects/", headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert scene.me.get("/user/account").headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers", [{"Origin": ELSEWHERE}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "same-site"}]
)
@pytest.mark.usefixtures("before")
def test_a_form_of_a_foreign_page_is_refused(scene: Scene, owner: LabelStudio, headers: dict[str, str]) -> None:
    administrator = dict(owner._sdk._client_wrapper.get_headers())  # even with rights
    for method, path, data in (
        ("POST", "/user/login/", {"email": "a@b.example", "password": "p"}),
        ("POST", f"/api/tasks/{scene.task}/annotations/", {"result": "[]"}),
        ("POST", "/api/projects/", {"title": "made by a page"}),
        ("POST", "/api/invite/reset-token", {}),
        ("POST", "/api/current-user/reset-token/", {}),
        ("PATCH", f"/api/projects/{scene.project}", {"title": "changed by a page"}),
    ):
        assert scene.me.request(method, path, data=data, headers=headers).status_code == 403
        answer = httpx.request(method, scene.url + path, data=data, headers=administrator | headers, timeout=30)
        assert (answer.status_code, answer.json()) == (403, {"detail": "pages of other servers may change nothing here"})


def test_the_own_page_may(scene: Scene) -> None:
    headers = {"Origin": scene.url, "Sec-Fetch-Site": "same-origin"}
    answer = scene.me.patch(f"/api/users/{scene.my_id}/", json={"last_name": "Lory"}, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/user/login/", "/user/signup/", "/", "/user/account", "/api/projects/"])
def test_browsers_obey_the_content_security_policy(scene: Scene, path: str) -> None:
    answer = scene.me.get(path, follow_redirects=True)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert "content-security-policy-report-only" not in answer.headers
    assert "http" not in answer.headers["content-security-policy"], "nothing is loaded from elsewhere"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "'unsafe-eval'" not in policy["script-src"]
    assert (policy["default-src"].split()[0], policy["object-src"], policy["frame-ancestors"]) == ("'self'", "'none'", "'self'")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


NAMED = """
import sys
from pathlib import Path

import label_studio

sys.path.insert(0, str(Path(label_studio.__file__).parent))  # as the server itself does
import django

django.setup()
from django.http import HttpResponse
from django.test import RequestFactory
from guard.origin import SameOrigin

asked, let_through = RequestFactory(), SameOrigin(lambda request: HttpResponse())
for host, origin in (
    ("127.0.0.1:8080", "http://127.0.0.1:8080"),
    ("label.example.org", "https://label.example.org"),
    ("a.teams.example.org", "https://a.teams.example.org"),
    ("127.0.0.1:8080", "https://label.example.org"),  # a proxy that asks by its own name
    ("label.example.org", "https://elsewhere.example"),
    ("elsewhere.example", "https://elsewhere.example"),
):
    print(let_through(asked.post("/api/x", HTTP_HOST=host, HTTP_ORIGIN=origin)).status_code)
"""


def test_a_team_names_the_host_by_which_its_proxy_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("LABEL_STUDIO_ALLOWED_HOSTS", "label.example.org,.teams.example.org")
    service = catalogue.servers()["label_studio"]
    service.prepare()
    python = Path(service.command[0]).with_name("python")
    environment = os.environ | dict(service.environment())
    done = subprocess.run([python, "-c", NAMED], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[-6:] == ["200", "200", "200", "200", "403", "400"], done.stderr[-2000:]


# ---- what annotators see, in a real browser ----


def test_an_annotator_labels_in_a_browser_and_nothing_that_the_pages_need_is_refused(
    owner: LabelStudio, scene: Scene, browser: Browser
) -> None:
    project = owner.ensure_project("guarded_pages", CONFIG)  # nobody has opened it
    owner.push(project, [{"data": {"item_id": i, "content": f"text of {i}"}} for i in ("b", "c")])
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(60_000)
    page, refused, broken = context.new_page(), list[str](), list[str]()
    page.on("response", lambda r: refused.append(f"{r.request.method} {r.url}") if r.status in (400, 401, 403) else None)
    page.on("console", lambda m: broken.append(m.text) if "Content Security Policy" in m.text else None)

    page.goto(f"{scene.url}/user/login")
    page.locator("input[name=email]").fill("mallory@example.org")
    page.locator("input[name=password]").fill("a good password")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/user/login" not in url)
    page.goto(f"{scene.url}/projects/")
    page.get_by_text("guarded_pages").first.click()
    page.get_by_role("button", name="Label All Tasks").click()
    page.locator("label").filter(has_text="dog").click()
    with page.expect_response(lambda r: "/annotations" in r.url and r.request.method == "POST") as sent:
        page.get_by_role("button", name="Submit current annotation").click()
    assert sent.value.status == 201, sent.value.text()
    assert sent.value.json()["completed_by"] == scene.my_id
    page.goto(f"{scene.url}/projects/{project}/data?task={sent.value.json()['task']}")
    page.locator("label").filter(has_text="bird").click()
    with page.expect_response(lambda r: "/api/annotations/" in r.url and r.request.method == "PATCH") as edited:
        page.get_by_role("button", name="submit", exact=True).click()
    assert (edited.value.status, edited.value.json()["result"][0]["value"]) == (200, {"choices": ["bird"]})
    page.locator("[data-annotation-id] .lsf-annotation-button__trigger").first.click()
    page.get_by_text("Delete Annotation").click()
    with page.expect_response(lambda r: "/api/annotations/" in r.url and r.request.method == "DELETE") as deleted:
        page.get_by_role("button", name="Delete", exact=True).click()
    assert deleted.value.status == 204
    page.goto(f"{scene.url}/user/account")
    page.get_by_text("Personal Info").first.wait_for()
    context.close()

    # tips that the server would fetch from elsewhere, and who belongs to the organisation
    assert [line for line in refused if "/heidi-tips" not in line and "/api/organizations" not in line] == []
    # a script of Google's; the handlers in a form that the account page hides
    assert [line for line in broken if "googletagmanager" not in line and "inline event handler" not in line] == []
