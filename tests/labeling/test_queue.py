"""Which samples are asked about, and that each is asked once."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.labeling.label_studio import Answer, LabelStudio, LabelStudioUnavailable
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import choose, push_queue
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .animals import AT, TASK, fill, vectors
from .animals import settings as labeling

NONE = np.zeros((0, 2), np.float32)


def queued(store: ProjectStore) -> dict[str, Any]:
    return {row["id"]: row for row in store.table("label_tasks").read().to_pylist()}


def groups(*sizes: int) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float32]]]:
    """Points in tight groups far from each other, ids `<group>-<number>`."""
    rng = np.random.default_rng(0)
    ids = [f"{g}-{i}" for g, size in enumerate(sizes) for i in range(size)]
    centres = np.array([[100.0 * int(i.split("-")[0]), 0.0] for i in ids])
    return ids, (centres + rng.normal(size=(len(ids), 2))).astype(np.float32)


def test_diverse_takes_one_of_each_group_and_larger_groups_first() -> None:
    ids, points = groups(3, 30, 10)
    chosen = choose(ids, points, NONE, 3)
    assert [i.split("-")[0] for i, _, _ in chosen] == ["1", "2", "0"]
    assert [reason for _, _, reason in chosen] == [f"diverse: from a group of {n} alike" for n in (30, 10, 3)]
    assert [priority for _, priority, _ in chosen] == sorted(priority for _, priority, _ in chosen)


def test_diverse_turns_to_what_was_not_asked_yet() -> None:
    ids, points = groups(30, 30, 5)
    asked = points[[0, 1, 30, 31]]
    [(first, _, _)] = choose(ids[2:30] + ids[32:], np.delete(points, [0, 1, 30, 31], 0), asked, 1)
    assert first.startswith("2-")


def test_samples_that_monitoring_sent_back_come_first() -> None:
    ids, points = groups(20, 20)
    unsure = {"1-3": 0.2, "1-4": 0.6}
    chosen = choose(ids, points, NONE, 4, "diverse", 0, unsure, {"1-3", "1-4"})
    assert [i for i, _, _ in chosen[:2]] == ["1-4", "1-3"]
    assert chosen[1][1] < 0.5 <= chosen[2][1]


def test_uncertain_asks_about_the_least_certain_then_goes_on() -> None:
    ids, points = groups(20, 20)
    chosen = choose(ids, points, NONE, 4, "uncertain", 0, {"0-1": 0.1, "0-2": 0.5, "1-1": 0.3})
    assert [i for i, _, _ in chosen[:3]] == ["0-2", "1-1", "0-1"]
    assert chosen[0][2] == "uncertain: confidence 0.50"
    assert chosen[3][2].startswith("diverse")


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 45), st.sampled_from(["diverse", "random", "uncertain"]), st.randoms())
def test_a_choice_is_distinct_complete_and_the_same_in_any_order(n: int, size: int, strategy: str, random: Any) -> None:
    points = np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)
    ids = [f"{i:03d}" for i in range(n)]
    unsure = {i: int(i) / 50 for i in ids[::3]}
    chosen = choose(ids, points, points[:2], size, strategy, 1, unsure)
    assert len({i for i, _, _ in chosen}) == len(chosen) == min(n, size)
    assert all(0 <= priority <= 1 for _, priority, _ in chosen)
    order = list(range(n))
    random.shuffle(order)
    assert choose([ids[i] for i in order], points[order], points[:2], size, strategy, 1, unsure) == chosen


def test_another_seed_is_another_random_choice() -> None:
    ids, points = groups(50)
    one, two = (choose(ids, points, NONE, 5, "random", seed) for seed in (1, 2))
    assert one != two


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown strategy 'best': choose one of diverse, random, uncertain"):
        choose(["a"], NONE, NONE, 1, "best")


def test_the_queue_takes_unlabelled_train_samples_once(owner: LabelStudio, store: ProjectStore) -> None:
    fill(store, 10)
    fill(store, 5, source="test", split="test")
    fill(store, 2, source="production")
    published = {
        "id": "p",
        "sample_id": "test0000",
        "labeler": "published",
        "labeler_kind": "published",
        "value": "cat",
        "at": AT,
    }
    store.table("given_labels").upsert(rows("given_labels", [published]))
    suggested = {"id": "test0001", "model": "m-1", "label": "cat", "confidence": 0.5, "scores": "{}", "at": AT}
    suggestions = [suggested | {"id": f"test000{i}"} for i in range(5)]
    store.table("batch_predictions").upsert(rows("batch_predictions", suggestions))
    given_label = {"id": "given-1", "sample_id": "s0000", "labeler": "x", "value": "cat", "origin": "given", "deleted": False}
    store.table("annotations").upsert(rows("annotations", [given_label]))
    result = push_queue(store, owner, labeling(size=6), Text(), vectors, AT)
    assert (result.pushed, result.waiting) == (6, 6)
    tasks = queued(store)
    assert {"production0000", "production0001"} <= set(tasks)
    assert not {"s0000", "test0000"} & set(tasks)
    of_test = [row for i, row in tasks.items() if i.startswith("test")]
    assert [(row["reason"], row["predicted"]) for row in of_test] == [("random: test split", None)]  # 4 of 15 are test
    assert owner.known_items(result.ls_project, tasks) == {i: row["task_id"] for i, row in tasks.items()}
    digest = store.table("label_tasks").digest()
    again = push_queue(store, owner, labeling(size=6), Text(), vectors, AT + timedelta(days=1))
    assert (again.pushed, store.table("label_tasks").digest()) == (0, digest)


def test_the_queue_is_filled_up_when_less_than_half_is_left(owner: LabelStudio, store: ProjectStore) -> None:
    fill(store, 20)
    wanted = labeling(size=4, total=7, strategy="random")
    project = push_queue(store, owner, wanted, Text(), vectors, AT).ls_project
    for answered, pushed in ((2, 0), (1, 3), (3, 0)):  # 4 waiting, then 2, then 1 and filled up, then the total is reached
        open_tasks = [r["task_id"] for r in queued(store).values() if r["id"] not in _answered(store)]
        owner.add_annotations([Answer(task, TASK.to_label_studio("cat")) for task in open_tasks[:answered]])
        pull(store, owner, project, TASK)
        assert push_queue(store, owner, wanted, Text(), vectors, AT).pushed == pushed
    assert len(queued(store)) == 7


def _answered(store: ProjectStore) -> set[str]:
    return set(store.table("annotations").read(["sample_id"])["sample_id"].to_pylist())


def test_a_crash_between_push_and_record_makes_no_second_task(
    owner: LabelStudio, store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 10)
    push = owner.push

    def crash(project: int, tasks: Any) -> Any:
        push(project, tasks)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, "push", crash)
        with pytest.raises(KeyboardInterrupt):
            push_queue(store, owner, labeling(size=4), Text(), vectors, AT)
    assert {row["task_id"] for row in queued(store).values()} == {None}
    result = push_queue(store, owner, labeling(size=4), Text(), vectors, AT)
    assert (result.pushed, result.waiting, owner.count(result.ls_project)) == (4, 4, 4)
    assert owner.known_items(result.ls_project, queued(store)) == {i: row["task_id"] for i, row in queued(store).items()}


def test_rows_that_got_lost_make_no_second_task(owner: LabelStudio, store: ProjectStore) -> None:
    fill(store, 4)
    project = push_queue(store, owner, labeling(size=4), Text(), vectors, AT).ls_project
    before = queued(store)
    store.table("label_tasks").delete("id IS NOT NULL")
    push_queue(store, owner, labeling(size=40), Text(), vectors, AT)
    assert owner.count(project) == 4
    assert {i: row["task_id"] for i, row in queued(store).items()} == {i: row["task_id"] for i, row in before.items()}


def test_what_could_not_be_pushed_is_pushed_later(
    owner: LabelStudio, store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 4)

    def unavailable(project: int, tasks: Any) -> Any:
        raise LabelStudioUnavailable("no")

    with monkeypatch.context() as patch:
        patch.setattr(owner, "push", unavailable)
        with pytest.raises(LabelStudioUnavailable):
            push_queue(store, owner, labeling(size=2), Text(), vectors, AT)
    assert push_queue(store, owner, labeling(size=2), Text(), vectors, AT).pushed == 2
    assert len(queued(store)) == 2


def test_predictions_travel_as_pre_annotations(owner: LabelStudio, store: ProjectStore) -> None:
    ids = fill(store, 3)
    known = [
        {"id": i, "model": "animals-1", "label": "dog", "confidence": c, "at": AT}
        for i, c in zip(ids[:2], (0.9, 0.4), strict=True)
    ]
    store.table("batch_predictions").upsert(rows("batch_predictions", known))
    result = push_queue(store, owner, labeling(size=3, strategy="uncertain"), Text(), vectors, AT)
    tasks = queued(store)
    assert sorted(tasks, key=lambda i: tasks[i]["priority"]) == ["s0001", "s0000", "s0002"]
    assert (tasks["s0001"]["predicted"], tasks["s0001"]["model"]) == ("dog", "animals-1")
    shown = {i: owner._sdk.predictions.list(task=tasks[i]["task_id"])[0] for i in ids}
    assert shown["s0001"].result == TASK.to_label_studio("dog")
    assert shown["s0002"].result == []
    assert {i: p.score for i, p in shown.items()} == pytest.approx({i: tasks[i]["priority"] for i in ids})
    assert owner._sdk.projects.get(result.ls_project).model_version == "ml_assets"
