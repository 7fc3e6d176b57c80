"""Labels that come in through the API."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.labeling.given import collect_given, read_labels
from ml_assets.modalities import Text
from ml_assets.records import content_id
from ml_assets.store import ProjectStore

from .animals import AT, TASK


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """The folder into which the endpoint writes."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, *lines: Any) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return path


def label(value: Any, minute: int = 0, **more: Any) -> dict[str, Any]:
    at = (AT + timedelta(minutes=minute)).isoformat()
    return {"content": "a bark", "label": value, "labeler": "acme", "labeler_kind": "program", "received_at": at} | more


def test_a_label_is_of_the_sample_whose_content_it_names(store: ProjectStore, inbox: Path) -> None:
    put(inbox, "one", label("dog"), label("cat", content="  a\r\nmeow "), label("bird", content=None, sample_id="known"))
    result = collect_given(store, inbox, TASK, Text(), AT)
    assert (result.received, result.changed, result.rejected) == (3, 3, 0)
    stored = {row["sample_id"]: row for row in store.table("given_labels").read().to_pylist()}
    assert set(stored) == {content_id("text", "a bark"), content_id("text", "a\nmeow"), "known"}
    assert stored["known"]["value"] == "bird"
    assert (stored["known"]["labeler"], stored["known"]["labeler_kind"]) == ("acme", "program")
    assert not list(inbox.glob("*.jsonl"))


def test_what_is_wrong_is_set_aside_with_the_reason(store: ProjectStore, inbox: Path) -> None:
    put(inbox, "bad", label("unicorn"), "{", "[]", label("dog", labeler=""), label("dog", labeler_kind="boss"),
        label("dog", content=None), label("dog", content=" "), label("dog", received_at="soon"), label("dog"))  # fmt: skip
    result = collect_given(store, inbox, TASK, Text(), AT)
    assert (result.received, result.changed, result.known, result.rejected) == (9, 1, 0, 8)
    reasons = {row["origin"]: row["reason"] for row in store.table("rejects").read().to_pylist()}
    assert reasons["bad.jsonl#1"] == "unknown class 'unicorn': choose one of cat, dog, bird"
    assert reasons["bad.jsonl#2"].startswith("not JSON: ")
    assert reasons["bad.jsonl#5"] == "unknown labeler_kind 'boss': choose one of published, person, program"
    assert reasons["bad.jsonl#6"] == "the label names no sample: give sample_id or content"
    assert reasons["bad.jsonl#8"] == "received_at 'soon' is no time: write it as 2026-01-31T12:00:00Z"
    assert len(reasons) == 8


def test_reading_again_changes_nothing_and_a_later_answer_counts(store: ProjectStore, inbox: Path) -> None:
    put(inbox, "one", label("dog", 1))
    collect_given(store, inbox, TASK, Text(), AT)
    digest = store.table("given_labels").digest()
    put(inbox, "one", label("dog", 1))  # as after a crash before the file was moved
    assert collect_given(store, inbox, TASK, Text(), AT).known == 1
    assert store.table("given_labels").digest() == digest
    put(inbox, "two", label("cat", 2))
    put(inbox, "late", label("bird", 0))
    collect_given(store, inbox, TASK, Text(), AT)
    assert store.table("given_labels").read()["value"].to_pylist() == ["cat"]


ANSWERS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.sampled_from(TASK.classes)), min_size=1, max_size=8
)


@given(ANSWERS, st.randoms())
def test_the_last_answer_of_each_labeler_counts_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, answers: list[tuple[str, str, str]], random: Any
) -> None:
    lines = [label(value, minute, sample_id=s, labeler=who) for minute, (s, who, value) in enumerate(answers)]
    expected = {(s, who): value for s, who, value in answers}
    random.shuffle(lines)
    table, _, received = read_labels([put(tmp_path_factory.mktemp("labels"), "all", *lines)], TASK, Text(), AT)
    assert received == len(answers)
    assert {(r["sample_id"], r["labeler"]): r["value"] for r in table.to_pylist()} == expected
