"""Answers from the real Label Studio become rows of `annotations`, each once, whatever happens in between."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.labeling import pull as pulling
from ml_assets.labeling.accounts import ensure_annotator
from ml_assets.labeling.label_studio import Answer, LabelStudio
from ml_assets.labeling.pull import pending, pull, read_mark
from ml_assets.labeling.queue import push_queue
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore

from .animals import AT, TASK, fill, settings, vectors


@pytest.fixture
def tasks(owner: LabelStudio, store: ProjectStore) -> dict[str, int]:
    """Six pushed tasks: sample id → task id."""
    fill(store, 6)
    push_queue(store, owner, settings(size=6), Text(), vectors, AT)
    rows = store.table("label_tasks").read().to_pylist()
    return {row["id"]: row["task_id"] for row in rows}


@pytest.fixture
def project(store: ProjectStore, tasks: dict[str, int]) -> int:
    """The Label Studio project that they are in."""
    return int(store.table("label_tasks").read()["ls_project"][0].as_py())


def stored(store: ProjectStore, deleted: bool = False) -> dict[str, str]:
    """Value of each annotated sample."""
    rows = store.table("annotations").read(where=f"deleted = {str(deleted).lower()}").to_pylist()
    return {row["sample_id"]: row["value"] for row in rows}


def answer(client: LabelStudio, task: int, value: str) -> None:
    client.add_annotations([Answer(task, TASK.to_label_studio(value), 3.5)])


def annotations_of(client: LabelStudio, project: int, item: str) -> list[dict[str, Any]]:
    return [a for task in client.tasks_of(project, [item]) for a in task["annotations"]]


def test_answers_come_in_with_who_gave_them(owner: LabelStudio, store: ProjectStore, tasks: Any, project: int) -> None:
    assert pending(store, owner, project) == ""
    eve = ensure_annotator(owner, "eve@example.org", "a good password")
    answer(eve, tasks["s0001"], "dog")
    news = pending(store, owner, project)
    assert "1 tasks" in news
    assert pending(store, owner, project) == news
    result = pull(store, owner, project, TASK)
    assert (result.changed, result.deleted, result.invalid) == (1, 0, ())
    [row] = store.table("annotations").read().to_pylist()
    assert row["labeler"] == "eve@example.org"
    assert (row["sample_id"], row["value"], row["labeler_kind"]) == ("s0001", "dog", "person")
    assert (row["origin"], row["lead_seconds"], row["deleted"]) == ("label_studio", 3.5, False)
    assert row["id"] == f"ls-{annotations_of(owner, project, 's0001')[0]['id']}"
    assert pending(store, owner, project) == ""
    digest = store.table("annotations").digest()
    assert pull(store, owner, project, TASK).changed == 0
    assert store.table("annotations").digest() == digest


def test_edits_arrive(owner: LabelStudio, store: ProjectStore, tasks: Any, project: int) -> None:
    answer(owner, tasks["s0000"], "cat")
    pull(store, owner, project, TASK)
    [annotation] = annotations_of(owner, project, "s0000")
    owner._sdk.annotations.update(annotation["id"], result=TASK.to_label_studio("bird"))
    assert pending(store, owner, project)
    assert pull(store, owner, project, TASK).changed == 1
    assert stored(store) == {"s0000": "bird"}


def test_a_deleted_annotation_is_taken_back(owner: LabelStudio, store: ProjectStore, tasks: Any, project: int) -> None:
    for item in ("s0000", "s0001"):
        answer(owner, tasks[item], "cat")
    pull(store, owner, project, TASK)
    owner._sdk.annotations.delete(annotations_of(owner, project, "s0000")[0]["id"])
    assert pending(store, owner, project)
    assert pull(store, owner, project, TASK).deleted == 1
    assert (stored(store), stored(store, deleted=True)) == ({"s0001": "cat"}, {"s0000": "cat"})
    assert pending(store, owner, project) == ""


def test_a_deleted_task_takes_its_annotations_back_and_stays_away(
    owner: LabelStudio, store: ProjectStore, tasks: Any, project: int
) -> None:
    for item in ("s0000", "s0001"):
        answer(owner, tasks[item], "cat")
    pull(store, owner, project, TASK)
    owner._sdk.tasks.delete(str(tasks["s0000"]))
    owner._sdk.tasks.delete(str(tasks["s0005"]))
    assert pending(store, owner, project)
    assert pull(store, owner, project, TASK).deleted == 1
    assert stored(store) == {"s0001": "cat"}
    assert pending(store, owner, project) == ""
    result = push_queue(store, owner, settings(size=50), Text(), vectors, AT)
    assert (result.pushed, result.waiting) == (0, 3)
    assert owner.known_items(project, ["s0000", "s0005"]) == {}


def test_a_copied_task_takes_nothing_back(owner: LabelStudio, store: ProjectStore, tasks: Any, project: int) -> None:
    answer(owner, tasks["s0000"], "cat")
    pull(store, owner, project, TASK)
    owner._sdk.projects.import_tasks(project, request=[{"data": {"item_id": "s0000", "content": "copied by people"}}])
    owner._sdk.projects.import_tasks(project, request=[{"data": {"content": "added by people"}}])
    assert pull(store, owner, project, TASK).deleted == 0
    assert stored(store) == {"s0000": "cat"}


def test_skipped_empty_and_unknown_answers_are_no_annotations(
    owner: LabelStudio, store: ProjectStore, tasks: Any, project: int
) -> None:
    owner._sdk.annotations.create(tasks["s0000"], result=[], was_cancelled=True)
    assert pending(store, owner, project) == ""
    owner._sdk.annotations.create(tasks["s0001"], result=[])
    answer(owner, tasks["s0002"], "unicorn")
    answer(owner, tasks["s0003"], "cat")
    result = pull(store, owner, project, TASK)
    assert stored(store) == {"s0003": "cat"}
    reasons = [invalid.reason for invalid in result.invalid]
    assert [invalid.sample_id for invalid in result.invalid] == ["s0001", "s0002"]
    assert reasons[0].endswith("by owner@example.org): the answer is empty")
    assert "unknown class 'unicorn': choose one of cat, dog, bird" in reasons[1]
    assert pending(store, owner, project) == ""
    assert pull(store, owner, project, TASK).invalid == result.invalid
    [wrong] = annotations_of(owner, project, "s0002")
    owner._sdk.annotations.update(wrong["id"], result=TASK.to_label_studio("dog"))
    assert [invalid.sample_id for invalid in pull(store, owner, project, TASK).invalid] == ["s0001"]
    assert stored(store) == {"s0003": "cat", "s0002": "dog"}
    owner._sdk.annotations.update(wrong["id"], result=TASK.to_label_studio("unicorn"))
    assert pull(store, owner, project, TASK).deleted == 1
    assert stored(store) == {"s0003": "cat"}


def test_a_pull_that_breaks_off_is_repeated(
    owner: LabelStudio, store: ProjectStore, tasks: Any, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_assets.labeling.label_studio.tasks.PAGE", 2)
    owner.add_annotations([Answer(task, TASK.to_label_studio("cat")) for task in tasks.values()])
    pages = owner.changes

    def break_off(*args: Any) -> Any:
        yield next(pages(*args))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, "changes", break_off)
        with pytest.raises(KeyboardInterrupt):
            pull(store, owner, project, TASK)
    assert len(stored(store)) == 2
    assert pending(store, owner, project)
    assert pull(store, owner, project, TASK).changed == 4
    assert set(stored(store)) == set(tasks)
    assert store.table("annotations").count() == 6


def test_a_pull_without_news_reads_nothing_once_no_late_change_can_come(
    owner: LabelStudio, store: ProjectStore, tasks: Any, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(owner, tasks["s0000"], "cat")
    assert pull(store, owner, project, TASK).tasks == 6  # those that were pushed a moment ago, too
    assert pull(store, owner, project, TASK).tasks == 6
    monkeypatch.setattr(pulling, "OVERLAP", timedelta(seconds=-5))  # as if it were later
    pull(store, owner, project, TASK)
    assert pull(store, owner, project, TASK).tasks == 0
    assert pending(store, owner, project) == ""
    answer(owner, tasks["s0001"], "dog")
    assert pending(store, owner, project)
    monkeypatch.undo()
    result = pull(store, owner, project, TASK)
    assert (result.tasks, result.changed) == (1, 1)


@pytest.mark.parametrize(
    ("until", "settled", "since"),
    [
        (None, None, None),
        (100, None, 40),
        (100, 30, 40),  # pulled before the newest change: a clock that is ahead
        (100, 80, 80),
        (100, 100, 100),
        (100, 101, 100.000001),
        (100, 9999, 100.000001),
    ],
)
def test_how_far_back_a_pull_looks(until: float | None, settled: float | None, since: float | None) -> None:
    def at(seconds: float | None) -> str | None:
        return None if seconds is None else (AT + timedelta(seconds=seconds)).isoformat()

    found = pulling._since(pulling.Mark("p", at(until), settled=at(settled)))
    assert (found and found.isoformat()) == at(since)


def test_without_its_mark_a_pull_reads_all_again(owner: LabelStudio, store: ProjectStore, tasks: Any, project: int) -> None:
    answer(owner, tasks["s0000"], "cat")
    pull(store, owner, project, TASK)
    before = read_mark(store)
    digest = store.table("annotations").digest()
    Path(pulling._mark_uri(store)).unlink()
    assert pull(store, owner, project, TASK).changed == 0
    assert store.table("annotations").digest() == digest
    after = read_mark(store)
    assert before is not None
    assert after is not None
    # the server's clock has moved on, and with it what counts as recent
    assert replace(after, settled=None, recent={}) == replace(before, settled=None, recent={})
    assert (after.settled or "") >= (before.settled or "")


def test_answers_of_a_project_that_is_gone_stay(owner: LabelStudio, store: ProjectStore, tasks: Any, project: int) -> None:
    answer(owner, tasks["s0000"], "cat")
    pull(store, owner, project, TASK)
    owner._sdk.projects.delete(project)
    result = push_queue(store, owner, settings(size=6), Text(), vectors, AT)
    assert result.ls_project != project
    assert result.pushed == 5  # not the one that has an answer
    new = {row["id"]: row["task_id"] for row in store.table("label_tasks").read().to_pylist()}
    answer(owner, new["s0001"], "dog")
    assert pull(store, owner, result.ls_project, TASK).deleted == 0
    assert stored(store) == {"s0000": "cat", "s0001": "dog"}


def test_a_pull_of_many_tasks_reads_them_all_once(owner: LabelStudio, store: ProjectStore, ls_project: int) -> None:
    ids = fill(store, 700)
    result = TASK.to_label_studio("cat")
    tasks = [{"data": {"item_id": i, "content": i}, "annotations": [{"result": result, "ground_truth": False}]} for i in ids]
    owner.push(ls_project, tasks)
    done = pull(store, owner, ls_project, TASK)
    assert (done.tasks, done.changed) == (700, 700)
    assert set(stored(store)) == set(ids)
    assert pending(store, owner, ls_project) == ""
