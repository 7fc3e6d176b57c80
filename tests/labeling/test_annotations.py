"""Label Studio's tasks and given labels as rows of `annotations`."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.labeling.annotations import from_given, mark_deleted, not_given, read_tasks, vanished, with_stored_ids
from ml_assets.store.schemas import SCHEMAS, rows
from ml_assets.tasks import Spans

from .animals import AT, TASK

USERS = {1: "ann@example.org", 2: "robot@example.org"}


def ls_task(number: int, *annotations: dict[str, Any], item: str | None = "sample") -> dict[str, Any]:
    data = {"content": "x"} | ({"item_id": item} if item else {})
    return {"id": number, "data": data, "annotations": list(annotations), "updated_at": AT}


def ls_annotation(number: int, result: Any, by: int = 1, **more: Any) -> dict[str, Any]:
    times = {"created_at": "2026-01-02T03:04:05.000006Z", "updated_at": "2026-01-02T03:05:00.000000Z"}
    return {"id": number, "result": result, "completed_by": by, "was_cancelled": False, "lead_time": 1.5} | times | more


def test_an_annotation_becomes_a_row() -> None:
    table, invalid = read_tasks([ls_task(7, ls_annotation(70, TASK.to_label_studio("cat")))], TASK, USERS)
    assert table.schema == SCHEMAS["annotations"]
    [row] = table.to_pylist()
    assert row["created_at"] == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (row["id"], row["sample_id"], row["labeler"], row["value"]) == ("ls-70", "sample", "ann@example.org", "cat")
    assert invalid == []


def test_programs_and_former_users_are_told_apart() -> None:
    answers = [ls_annotation(1, TASK.to_label_studio("cat"), by=2), ls_annotation(2, TASK.to_label_studio("cat"), by=99)]
    table, _ = read_tasks([ls_task(1, *answers)], TASK, USERS, programs=["robot@example.org"])
    kinds = {row["labeler"]: row["labeler_kind"] for row in table.to_pylist()}
    assert kinds == {"robot@example.org": "program", "user 99": "person"}


def test_what_is_no_label_is_said_in_one_sentence() -> None:
    tasks = [
        ls_task(
            1,
            ls_annotation(10, []),
            ls_annotation(11, TASK.to_label_studio("unicorn")),
            ls_annotation(12, TASK.to_label_studio("dog")),
        ),
        ls_task(2, ls_annotation(20, [], was_cancelled=True)),
        ls_task(3, ls_annotation(30, TASK.to_label_studio("dog")), item=None),
    ]
    table, invalid = read_tasks(tasks, TASK, USERS)
    assert table["id"].to_pylist() == ["ls-12"]
    assert [i.reason for i in invalid] == [
        "task 1 (annotation 10 by ann@example.org): the answer is empty",
        "task 1 (annotation 11 by ann@example.org): unknown class 'unicorn': choose one of cat, dog, bird",
        "task 3 (annotation 30 by ann@example.org): the task was not pushed from here, it has no item_id",
    ]


def test_a_span_behind_the_end_of_the_text_is_no_label() -> None:
    """The editor cannot make one, but a program that writes to Label Studio can."""
    spans = Spans(classes=("city",))
    results = [spans.to_label_studio(spans.parse([{"start": 0, "end": end, "label": "city"}])) for end in (1, 9)]
    table, invalid = read_tasks([ls_task(1, *(ls_annotation(n, result) for n, result in enumerate(results)))], spans, USERS)
    assert table["id"].to_pylist() == ["ls-0"]
    assert "the span 0-9 ends behind the text, which has 1 characters" in invalid[0].reason


IDS = st.sets(st.integers(1, 20), max_size=8)


@given(IDS, IDS, st.sets(st.sampled_from("abc")))
def test_only_what_is_gone_from_samples_that_were_read_is_taken_back(stored: set[int], alive: set[int], read: set[str]) -> None:
    table = rows("annotations", [
        {"id": f"ls-{i}", "sample_id": "abc"[i % 3], "origin": "label_studio" if i % 4 else "given", "deleted": i % 5 == 0}
        for i in sorted(stored)
    ])  # fmt: skip
    gone = mark_deleted(vanished(table, read, [f"ls-{i}" for i in alive]))
    assert {int(i[3:]) for i in gone["id"].to_pylist()} == {
        i for i in stored - alive if "abc"[i % 3] in read and i % 4 and i % 5
    }
    assert set(gone["deleted"].to_pylist()) <= {True}
    assert gone.schema == table.schema


def test_a_given_label_keeps_who_gave_it_and_when() -> None:
    label = {"id": "x", "sample_id": "s", "labeler": "published", "labeler_kind": "published", "value": "cat", "at": AT}
    [row] = from_given(rows("given_labels", [label])).to_pylist()
    assert (row["id"], row["origin"], row["labeler_kind"], row["updated_at"]) == ("given-x", "given", "published", AT)


def test_labels_that_say_the_same_keep_the_ids_of_an_earlier_version() -> None:
    said = {"labeler": "published", "labeler_kind": "published", "at": AT, "file": "a.csv", "arrival": None}
    given = rows("given_labels", [{"id": f"g{i}", "sample_id": f"s{i}", "value": "yes", **said} for i in range(3)])
    came = from_given(given)
    older = came.to_pylist()
    older[0]["id"] = "given-as-before"
    older[1] |= {"id": "given-other", "value": "no"}
    stored = rows("annotations", older[:2])
    found = with_stored_ids(came, stored)
    own = {row["sample_id"]: row["id"] for row in came.to_pylist()}
    first = older[0]["sample_id"]
    assert {row["sample_id"]: row["id"] for row in found.to_pylist()} == own | {first: "given-as-before"}
    assert not_given(stored, found)["id"].to_pylist() == ["given-other"], "only what says something else now is taken back"
    assert with_stored_ids(came, rows("annotations", [])).equals(came)
    assert with_stored_ids(came, rows("annotations", [row | {"deleted": True} for row in older])).equals(came)
