"""What people change in Label Studio that is not theirs to change is told and put right."""

from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from ml_assets.labeling.accounts import invite
from ml_assets.labeling.label_studio import Answer, LabelStudio
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import push_queue
from ml_assets.labeling.sensors import labeling_sensors
from ml_assets.labeling.watch import differences, read, watch
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore

from .animals import AT, CONFIG, TASK, fill, settings, vectors

SETTINGS = settings(size=4)


@pytest.fixture
def queue(store: ProjectStore, owner: LabelStudio) -> int:
    """A project with a queue that was looked at."""
    fill(store, 4)
    project = push_queue(store, owner, SETTINGS, Text(), vectors, AT).ls_project
    assert look(store, owner, project) == []
    return project


def look(store: ProjectStore, owner: LabelStudio, project: int) -> list[str]:
    return watch(store, owner, project, SETTINGS, Text(), "annotations")


def put(owner: LabelStudio, method: str, path: str, body: Any) -> Any:
    headers = owner._sdk._client_wrapper.get_headers()
    answer = httpx.request(method, owner.url + path, headers=headers, json=body, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label_config", CONFIG.replace("Which animal?", "Which vegetable?")),
        ("label_config", CONFIG.replace("bird", "cow")),
        ("maximum_annotations", 7),
        ("sampling", "Sequential sampling"),
        ("enable_empty_annotation", True),
        ("description", "mine now"),
    ],
)
def test_a_changed_project_is_told_and_put_right(
    name: str, value: Any, owner: LabelStudio, store: ProjectStore, queue: int
) -> None:
    before = owner.project(queue)
    put(owner, "PATCH", f"/api/projects/{queue}/", {name: value})
    told = [f"{name} of project {queue} was changed in Label Studio: it is put right"]
    assert differences(store, owner, queue) == told
    assert look(store, owner, queue) == told
    after = owner.project(queue)
    assert before is not None
    assert after is not None
    assert after[name] == before[name]
    seen = read(store)
    assert seen is not None
    assert seen.told["annotations"] == told
    assert look(store, owner, queue) == [], "it is told once"
    assert owner.ensure_project(store.project, CONFIG) == queue, "no second project was made"


def test_a_changed_title_is_told_and_left(owner: LabelStudio, store: ProjectStore, queue: int) -> None:
    put(owner, "PATCH", f"/api/projects/{queue}/", {"title": "Renamed by people"})
    assert look(store, owner, queue) == [f"title of project {queue} was changed in Label Studio"]


def test_other_settings_in_the_yaml_are_no_news(owner: LabelStudio, store: ProjectStore, queue: int) -> None:
    more = SETTINGS.model_copy(update={"question": "Which pet?", "annotators": 2})
    assert watch(store, owner, queue, more, Text(), "label_tasks") == []
    found = owner.project(queue)
    assert found is not None
    assert (found["maximum_annotations"], "Which pet?" in found["label_config"]) == (2, True)
    assert watch(store, owner, queue, more, Text(), "label_tasks") == []


def test_a_renamed_administrator_is_told(owner: LabelStudio, store: ProjectStore, queue: int) -> None:
    me = owner.administrator()
    try:
        put(owner, "PATCH", f"/api/users/{me['id']}/", {"first_name": "Nobody"})
        [told] = look(store, owner, queue)
        assert told == f"the administrator's first_name was changed from {me['first_name']!r} to 'Nobody'"
    finally:
        put(owner, "PATCH", f"/api/users/{me['id']}/", {"first_name": me["first_name"]})


def test_new_members_projects_and_storages_are_told(
    owner: LabelStudio, store: ProjectStore, queue: int, label_studio: Any
) -> None:
    invite(owner, "newcomer@example.org", "a good password")
    other = put(owner, "POST", "/api/projects/", {"title": "of somebody"})
    folder = label_studio.home / "media" / "of_somebody"
    folder.mkdir()
    put(owner, "POST", "/api/storages/localfiles/", {"project": queue, "path": str(folder), "use_blob_urls": True})
    told = look(store, owner, queue)
    assert [sentence.split(" (")[0] for sentence in told] == [
        "a new project in Label Studio: of somebody",
        f"a new storage of project {queue} in Label Studio: {folder}",
        "a new account in Label Studio: newcomer@example.org",
    ]
    put(owner, "DELETE", f"/api/projects/{other['id']}/", None)
    assert look(store, owner, queue) == [f"a project is gone from Label Studio: of somebody ({other['id']})"]


def test_a_deleted_project_is_told_and_begun_anew_and_answers_stay(owner: LabelStudio, store: ProjectStore, queue: int) -> None:
    [task, *_] = store.table("label_tasks").read()["task_id"].to_pylist()
    owner.add_annotations([Answer(task, TASK.to_label_studio("cat"))])
    pull(store, owner, queue, TASK)
    put(owner, "DELETE", f"/api/projects/{queue}/", None)
    assert look(store, owner, queue) == [f"project {queue} was deleted in Label Studio: a new one is made"]
    done = push_queue(store, owner, SETTINGS, Text(), vectors, AT)
    assert done.ls_project != queue
    assert done.pushed == 3
    assert store.table("annotations").read(where="deleted = false")["value"].to_pylist() == ["cat"]


def test_the_sensor_has_it_put_right_before_answers_are_read(
    owner: LabelStudio, store: ProjectStore, queue: int, label_studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_STORE", store.uri.rsplit("/", 1)[0])
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    pull(store, owner, queue, TASK)
    [sensor] = labeling_sensors(store.project, SETTINGS)
    with dg.instance_for_test() as instance:
        quiet: Any = sensor(dg.build_sensor_context(instance=instance, sensor_name=sensor.name))
        assert isinstance(quiet, dg.SkipReason), quiet
        put(owner, "PATCH", f"/api/projects/{queue}/", {"label_config": CONFIG.replace("bird", "cow")})
        asked: Any = sensor(dg.build_sensor_context(instance=instance, sensor_name=sensor.name))
    assert [chosen.path[-1] for chosen in asked.asset_selection] == ["label_tasks", "annotations", "labels", "dataset"]
    assert f"label_config of project {queue} was changed" in asked.tags["ml_assets/news"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"ls_project": "x"}', b"\xff"])
def test_a_damaged_note_of_what_was_seen_is_begun_anew(
    content: bytes, owner: LabelStudio, store: ProjectStore, queue: int
) -> None:
    Path(store.uri, "label_studio_seen.json").write_bytes(content)
    assert look(store, owner, queue) == []
    assert read(store) is not None
