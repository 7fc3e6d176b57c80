"""Labels that come in through the API."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.collection.collect import collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.labeling.annotations import from_given
from ml_assets.labeling.consensus import consolidate
from ml_assets.labeling.given import collect_given
from ml_assets.modalities import Text
from ml_assets.spool import inbox as inbox_of
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

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
    put(inbox, "bad", label("unicorn"), "{", "[]", label("dog", labeler=""), label("dog", labeler="published"),
        label("dog", content=None), label("dog", content=" "), label("dog", received_at="soon"), label("dog"))  # fmt: skip
    result = collect_given(store, inbox, TASK, Text(), AT)
    assert (result.received, result.changed, result.known, result.rejected) == (9, 1, 0, 8)
    reasons = {row["origin"]: row["reason"] for row in store.table("rejects").read().to_pylist()}
    assert reasons["bad.jsonl#1"] == "unknown class 'unicorn': choose one of cat, dog, bird"
    assert reasons["bad.jsonl#2"].startswith("not JSON: ")
    assert reasons["bad.jsonl#5"] == "nobody may push labels as 'published'"
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
    place = tmp_path_factory.mktemp("labels")
    (place / "inbox").mkdir()
    store = ProjectStore("animals", place / "store")
    lines = [label(value, minute, sample_id=s, labeler=who) for minute, (s, who, value) in enumerate(answers)]
    expected = {(s, who): value for s, who, value in answers}
    random.shuffle(lines)
    put(place / "inbox", "all", *lines)
    assert collect_given(store, place / "inbox", TASK, Text(), AT).received == len(answers)
    table = store.table("given_labels").read()
    assert {(r["sample_id"], r["labeler"]): r["value"] for r in table.to_pylist()} == expected


# ---- the order in which labels arrived ----


@given(st.lists(st.sampled_from(TASK.classes), min_size=1, max_size=6), st.data())
def test_the_newest_answer_counts_whatever_was_pushed_before_one_collection(
    tmp_path_factory: pytest.TempPathFactory, pushed: list[str], data: Any
) -> None:
    """a, b, a ends as a: also after restarts, when the clock jumps, and in whichever of the two ways each was pushed."""
    place = tmp_path_factory.mktemp("home")
    os.environ["ML_ASSETS_HOME"] = str(place)
    store, settings = ProjectStore("animals", place / "store"), CollectionSettings(modality=Text())
    for answer in pushed:
        minute = data.draw(st.integers(-(10**6), 10**6))
        if data.draw(st.booleans()):
            inbox_of.write("animals", "labels", [label(answer, minute)])
        else:
            inbox_of.write("animals", "samples", [label(answer, minute) | {"client": "acme"}])
        if data.draw(st.booleans()):
            (place / "inbox" / "animals" / "arrivals").unlink()
        if data.draw(st.booleans()):
            collect_given(store, place / "inbox" / "animals" / "labels", TASK, Text(), AT)
            collect(store, settings, TASK, AT, lambda _: None)
    collect(store, settings, TASK, AT, lambda _: None)
    collect_given(store, place / "inbox" / "animals" / "labels", TASK, Text(), AT)
    [row] = store.table("given_labels").read().to_pylist()
    assert (row["value"], row["labeler"]) == (pushed[-1], "acme")
    labels = consolidate(from_given(store.table("given_labels").read()), TASK).to_pylist()
    assert [each["value"] for each in labels] == [pushed[-1]]


def test_files_of_the_version_before_are_read_first(store: ProjectStore, inbox: Path) -> None:
    put(inbox, "f" * 32, label("bird", 500))
    put(inbox, f"{1:016d}-{'0' * 32}", label("dog", 0))
    collect_given(store, inbox, TASK, Text(), AT)
    assert store.table("given_labels").read()["value"].to_pylist() == ["dog"]


def test_a_row_of_the_version_before_gives_way_to_a_newer_push(store: ProjectStore, inbox: Path) -> None:
    sample = content_id("text", "a bark")
    old = {"id": content_id(sample, "acme"), "sample_id": sample, "labeler": "acme", "value": "cat", "at": AT}
    store.table("given_labels").upsert(rows("given_labels", [old]))
    put(inbox, f"{1:016d}-{'0' * 32}", label("dog", -500))
    collect_given(store, inbox, TASK, Text(), AT)
    assert store.table("given_labels").read()["value"].to_pylist() == ["dog"]


def test_labels_that_contradict_each_other_in_one_push_are_set_aside_with_both_values(store: ProjectStore, inbox: Path) -> None:
    put(inbox, "one", label("dog"), label("cat"), label("bird", content="a tweet"))
    result = collect_given(store, inbox, TASK, Text(), AT)
    assert (result.received, result.changed, result.known, result.rejected) == (3, 1, 0, 2)
    assert sorted(store.table("rejects").read()["reason"].to_pylist()) == [
        "contradicts another label of the same push by 'acme': 'cat' and others",
        "contradicts another label of the same push by 'acme': 'dog' and others",
    ]
    assert store.table("given_labels").read()["value"].to_pylist() == ["bird"]


# ---- files that somebody made by hand, or that are torn ----

ODD: list[Any] = [
    b"\xff\xfe", b"\x00" * 50, b"[" * 100_000, b'{"a":' * 5000, b"1" * 5000, b'"text"', b"null", b"NaN",
    b'{"content": "a bark", "la',
    label("dog", labeler="caf\udce9"), label("dog", labeler=["a"]), label("dog", labeler="x" * 5000),
    label("dog", sample_id="\ud800"), label("dog", sample_id="x" * 5000), label("dog", sample_id=7, content=None),
    label("dog", content=["a bark"]), label("dog", content={"text": "a bark"}), label("dog", received_at=7),
    label("dog", received_at="0001-01-01T00:00:00+14:00"), label("dog", received_at="9999-12-31T23:59:59-14:00"),
    label({"class": "dog"}), label(["dog"] * 10_000), label(float("nan")), label(10**400), label("x" * 10**6), label(None),
    label("dog", labeler="admin@localhost.example"), label("dog", labeler=None, client=None),
]  # fmt: skip


@pytest.mark.parametrize("line", ODD, ids=range(len(ODD)))
def test_one_odd_line_stops_nothing(store: ProjectStore, inbox: Path, line: Any) -> None:
    content = line if isinstance(line, bytes) else json.dumps(line).encode()
    (inbox / "odd.jsonl").write_bytes(content + b"\n" + json.dumps(label("bird", content="a tweet")).encode() + b"\n")
    (inbox / "empty.jsonl").write_bytes(b"")
    (inbox / "folder.jsonl").mkdir()
    result = collect_given(store, inbox, TASK, Text(), AT)
    assert (result.received, result.changed, result.rejected) == (2, 1, 1)
    [reject] = store.table("rejects").read().to_pylist()
    assert len(reject["reason"]) < 600
    assert reject["origin"] == "odd.jsonl#1"
    assert store.table("given_labels").read()["value"].to_pylist() == ["bird"]


@given(st.lists(st.binary(max_size=60) | st.text(max_size=30).map(lambda t: t.encode("utf-8", "surrogatepass")), max_size=6))
def test_any_bytes_in_the_inbox_are_read_or_set_aside(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    place = tmp_path_factory.mktemp("labels")
    (place / "inbox").mkdir()
    (place / "inbox" / "any.jsonl").write_bytes(b"\n".join(lines))
    done = collect_given(ProjectStore("animals", place / "store"), place / "inbox", TASK, Text(), AT)
    assert done.received == done.changed + done.known + done.rejected
