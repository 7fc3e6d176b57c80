"""Tasks that nobody began show what the newest model says; what people began stays as they saw it."""

from typing import Any

import httpx
import pytest

from ml_assets.labeling import suggestions
from ml_assets.labeling.label_studio import QUEUE, Answer, LabelStudio
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import push_queue
from ml_assets.labeling.suggestions import Refreshed, outdated, refresh
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .animals import AT, TASK, fill, vectors
from .animals import settings as labeling


def predict(store: ProjectStore, model: str, **labels: str) -> None:
    made = [{"id": i, "model": model, "label": v, "confidence": 0.9, "scores": "{}", "at": AT} for i, v in labels.items()]
    store.table("batch_predictions").upsert(rows("batch_predictions", made))


def shown(owner: LabelStudio, project: int) -> dict[str, list[tuple[str | None, float, str]]]:
    """What each sample's task shows, with its score and the version of the model: every prediction that it has."""
    headers = owner._sdk._client_wrapper.get_headers()
    query = {"project": project, "fields": "all", "page_size": 100}
    answer = httpx.get(f"{owner.url}/api/tasks", params=query, headers=headers, timeout=30).json()
    return {
        task["data"]["item_id"]: [
            (p["result"][0]["value"]["choices"][0] if p["result"] else None, p["score"], p["model_version"])
            for p in task["predictions"]
        ]
        for task in answer["tasks"]
    }


def queued(store: ProjectStore) -> dict[str, Any]:
    return {row["id"]: row for row in store.table("label_tasks").read().to_pylist()}


@pytest.fixture
def project(owner: LabelStudio, store: ProjectStore) -> int:
    """Six tasks, two of them of test samples, pushed before there was a model."""
    fill(store, 4)
    fill(store, 2, source="test", split="test")
    return push_queue(store, owner, labeling(size=6), Text(), vectors, AT).ls_project


def test_tasks_of_before_the_first_model_show_what_it_says(owner: LabelStudio, store: ProjectStore, project: int) -> None:
    before = shown(owner, project)
    assert {made[0][0] for made in before.values()} == {None}
    predict(store, "m-1", s0000="cat", s0001="dog", s0002="bird", s0003="cat", test0000="dog", test0001="cat")
    found = outdated(store, project)
    seen = list[tuple[int, int]]()
    assert refresh(store, owner, project, TASK, found, lambda done, total: seen.append((done, total))) == Refreshed(4, 0, 0)
    after, tasks = shown(owner, project), queued(store)
    for sample, label in {"s0000": "cat", "s0001": "dog", "s0002": "bird", "s0003": "cat"}.items():
        assert after[sample] == [(label, pytest.approx(before[sample][0][1]), QUEUE)]  # one, and where it was in the queue
        assert (tasks[sample]["predicted"], tasks[sample]["model"]) == (label, "m-1")
    assert {after[i][0][0] for i in ("test0000", "test0001")} == {None}, "no model sways the label of a test sample"
    assert seen == [(4, 4)]
    assert outdated(store, project) == []
    assert pull(store, owner, project, TASK).changed == 0


def test_what_people_began_stays_as_they_saw_it(owner: LabelStudio, store: ProjectStore, project: int) -> None:
    predict(store, "m-1", s0000="cat", s0001="cat", s0002="cat", s0003="cat")
    refresh(store, owner, project, TASK, outdated(store, project))
    tasks = queued(store)
    owner.add_annotations([Answer(tasks["s0000"]["task_id"], TASK.to_label_studio("dog"))])
    headers = owner._sdk._client_wrapper.get_headers()
    skipped, begun = (f"{owner.url}/api/tasks/{tasks[i]['task_id']}" for i in ("s0001", "s0002"))
    cancelled = {"result": [], "was_cancelled": True}
    httpx.post(f"{skipped}/annotations/", json=cancelled, headers=headers, timeout=30).raise_for_status()
    draft = {"result": TASK.to_label_studio("bird"), "lead_time": 1.0}
    httpx.post(f"{begun}/drafts", json=draft, headers=headers, timeout=30).raise_for_status()
    predict(store, "m-2", s0000="bird", s0001="bird", s0002="dog", s0003="cat")
    assert refresh(store, owner, project, TASK, outdated(store, project)) == Refreshed(1, 1, 2)
    after, tasks = shown(owner, project), queued(store)
    assert [after[f"s000{i}"][0][0] for i in range(4)] == ["cat", "cat", "dog", "cat"]
    assert [tasks[f"s000{i}"]["model"] for i in range(4)] == ["m-1", "m-1", "m-2", "m-2"]
    drafts = httpx.get(f"{begun}/drafts", headers=headers, timeout=30).json()
    assert [d["result"][0]["value"]["choices"] for d in drafts] == [["bird"]]


def test_an_answer_that_names_a_suggestion_of_before_is_taken(owner: LabelStudio, store: ProjectStore, project: int) -> None:
    predict(store, "m-1", s0000="cat")
    refresh(store, owner, project, TASK, outdated(store, project))
    number = queued(store)["s0000"]["task_id"]
    seen = owner.untouched(project, ["s0000"])[number]
    predict(store, "m-2", s0000="dog")
    refresh(store, owner, project, TASK, outdated(store, project))
    headers = owner._sdk._client_wrapper.get_headers()
    answer = {"result": TASK.to_label_studio("cat"), "parent_prediction": seen, "lead_time": 2.0}
    address = f"{owner.url}/api/tasks/{number}/annotations/"
    httpx.post(address, json=answer, headers=headers, timeout=30).raise_for_status()
    assert pull(store, owner, project, TASK).changed == 1


def test_a_pass_that_was_cut_off_is_repeated_without_doubles(
    owner: LabelStudio, store: ProjectStore, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(store, "m-1", s0000="cat", s0001="dog", s0002="bird", s0003="cat")
    monkeypatch.setattr(suggestions, "AT_ONCE", 2)
    real = owner.suggest

    def cut_off(asked: Any) -> None:
        real(asked)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, "suggest", cut_off)
        with pytest.raises(KeyboardInterrupt):
            refresh(store, owner, project, TASK, outdated(store, project))
    assert len(outdated(store, project)) == 4, "nothing was recorded"
    assert refresh(store, owner, project, TASK, outdated(store, project)) == Refreshed(4, 0, 0)
    assert [len(made) for made in shown(owner, project).values()] == [1] * 6


def test_a_task_whose_predictions_somebody_deleted_gets_one(owner: LabelStudio, store: ProjectStore, project: int) -> None:
    number = queued(store)["s0000"]["task_id"]
    found = owner.untouched(project, ["s0000"])[number]
    assert found is not None
    owner._sdk.predictions.delete(found)
    predict(store, "m-1", s0000="cat")
    assert refresh(store, owner, project, TASK, outdated(store, project)) == Refreshed(1, 0, 0)
    assert [label for label, _, _ in shown(owner, project)["s0000"]] == ["cat"]


def test_a_class_that_only_models_know_does_not_stop_the_others(owner: LabelStudio, store: ProjectStore, project: int) -> None:
    predict(store, "m-1", s0000="mammal", s0001="dog")  # a feature set may merge classes under a name of its own
    assert refresh(store, owner, project, TASK, outdated(store, project)).shown == 2
    assert [shown(owner, project)[i][0][0] for i in ("s0000", "s0001")] == ["mammal", "dog"]
