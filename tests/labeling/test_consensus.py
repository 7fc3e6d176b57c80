"""Annotations become labels, labels become the dataset: the same, in whatever order they come."""

import json
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.labeling.consensus import consolidate, keep, mean_agreement
from ml_assets.labeling.dataset import build, class_counts
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .animals import AT, TASK


def annotation(number: int, sample: str, labeler: str, value: str, minute: int = 0, deleted: bool = False) -> dict[str, Any]:
    at = AT + timedelta(minutes=minute)
    return {"id": f"ls-{number}", "sample_id": sample, "labeler": labeler, "labeler_kind": "person", "value": value,
            "origin": "label_studio", "created_at": at, "updated_at": at, "deleted": deleted}  # fmt: skip


ANNOTATIONS = st.lists(
    st.builds(
        annotation,
        st.integers(1, 10**6),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["ann", "bob", "eve"]),
        st.sampled_from(["cat", "dog", "bird", "unicorn"]),
        st.integers(0, 3),
        st.booleans(),
    ),
    unique_by=lambda row: row["id"],
    max_size=12,
)


def labels(*annotations: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = consolidate(rows("annotations", list(annotations)), TASK).to_pylist()
    return found


def test_the_majority_wins_and_says_by_how_much() -> None:
    [label] = labels(annotation(1, "a", "eve", "cat"), annotation(2, "a", "bob", "dog"), annotation(3, "a", "ann", "cat"))
    assert (label["id"], label["value"], label["conflict"], label["annotators"]) == ("a", "cat", False, 3)
    assert label["agreement"] == pytest.approx(2 / 3)
    assert json.loads(label["labelers"]) == ["ann", "bob", "eve"]
    assert json.loads(label["annotation_ids"]) == ["ls-3", "ls-2", "ls-1"]


def test_a_tie_is_a_conflict_without_a_value() -> None:
    [label] = labels(annotation(1, "a", "ann", "cat"), annotation(2, "a", "bob", "dog"))
    assert (label["value"], label["conflict"], label["agreement"]) == (None, True, 0.5)


def test_a_labeler_has_one_voice_the_newest() -> None:
    [label] = labels(annotation(1, "a", "ann", "dog", minute=5), annotation(2, "a", "ann", "cat", minute=1))
    assert (label["value"], label["annotators"], json.loads(label["annotation_ids"])) == ("dog", 1, ["ls-1"])


def test_what_was_taken_back_or_is_no_class_any_more_does_not_count() -> None:
    [label] = labels(
        annotation(1, "a", "ann", "cat"), annotation(2, "a", "bob", "dog", deleted=True), annotation(3, "a", "eve", "unicorn")
    )
    assert (label["value"], label["annotators"]) == ("cat", 1)
    assert labels(annotation(4, "b", "ann", "cat", deleted=True)) == []


@given(ANNOTATIONS, st.randoms())
def test_the_order_of_annotations_does_not_matter(annotations: list[dict[str, Any]], random: Any) -> None:
    before = labels(*annotations)
    random.shuffle(annotations)
    assert labels(*annotations) == before
    assert [row["id"] for row in before] == sorted(row["id"] for row in before)


@given(ANNOTATIONS)
def test_adding_what_is_known_changes_nothing(annotations: list[dict[str, Any]]) -> None:
    assert labels(*annotations, *annotations) == labels(*annotations)


@given(ANNOTATIONS)
def test_every_label_rests_on_live_annotations_of_its_sample(annotations: list[dict[str, Any]]) -> None:
    live = {row["id"]: row for row in annotations if not row["deleted"] and row["value"] != "unicorn"}
    found = labels(*annotations)
    assert {row["id"] for row in found} == {row["sample_id"] for row in live.values()}
    for row in found:
        behind = [live[i] for i in json.loads(row["annotation_ids"])]
        assert {b["sample_id"] for b in behind} == {row["id"]}
        assert [b["labeler"] for b in behind] == json.loads(row["labelers"])
        assert row["value"] is None or row["value"] in {b["value"] for b in behind}
        assert len(behind) == row["annotators"] == len({b["labeler"] for b in behind})


def samples(**splits: str) -> Any:
    return rows("samples", [{"id": i, "split": split} for i, split in splits.items()])


def test_the_dataset_holds_what_is_agreed_on_with_its_split() -> None:
    found = consolidate(
        rows("annotations", [
            annotation(1, "b", "ann", "cat"), annotation(2, "a", "published", "dog"), annotation(3, "c", "ann", "cat"),
            annotation(4, "c", "bob", "dog"), annotation(5, "not collected yet", "ann", "cat"),
        ]), TASK,
    )  # fmt: skip
    dataset, tag = build(found, samples(a="test", b="train", c="train"))
    assert [(r["id"], r["value"], r["split"]) for r in dataset.to_pylist()] == [("a", "dog", "test"), ("b", "cat", "train")]
    assert tag.startswith("ds-")
    assert len(tag) == 19
    assert class_counts(dataset, TASK) == {"cat": {"train": 1, "test": 0}, "dog": {"train": 0, "test": 1}}


def test_labels_go_with_the_last_annotation_of_their_sample(store: ProjectStore) -> None:
    table, quoted = store.table("labels"), "it's one"
    both = [annotation(1, quoted, "ann", "cat"), annotation(2, "b", "ann", "dog"), annotation(3, "b", "bob", "dog")]
    for annotations in (both, both[1:]):
        found = consolidate(rows("annotations", annotations), TASK)
        keep(table, found)
        assert table.ids() == {row["sample_id"] for row in annotations}


def test_agreement_is_that_of_samples_with_several_answers() -> None:
    alone = [annotation(1, "a", "ann", "cat")]
    assert mean_agreement(consolidate(rows("annotations", alone), TASK)) is None
    agreed = [annotation(2, "b", "ann", "dog"), annotation(3, "b", "bob", "dog")]
    split = [annotation(4, "c", "ann", "dog"), annotation(5, "c", "bob", "cat")]
    assert mean_agreement(consolidate(rows("annotations", [*alone, *agreed, *split]), TASK)) == pytest.approx(0.75)


@given(ANNOTATIONS, st.randoms())
def test_the_same_content_has_the_same_tag_and_other_content_another(annotations: list[dict[str, Any]], random: Any) -> None:
    splits = samples(a="train", b="test", c="train")
    found = consolidate(rows("annotations", annotations), TASK)
    dataset, tag = build(found, splits)
    order = list(range(found.num_rows))
    random.shuffle(order)
    again, same = build(found.take(pa.array(order, pa.int64())), splits)
    assert (again.equals(dataset), same) == (True, tag)
    if dataset.num_rows:
        assert build(found, samples(a="test", b="train", c="test"))[1] != tag
