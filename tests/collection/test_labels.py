"""Labels that came with the data: a file says what it says, and what contradicts is told."""

import os
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.collection.checks import collection_checks
from ml_assets.collection.labels import contradictions
from ml_assets.labeling.annotations import from_given, mark_deleted, not_given
from ml_assets.labeling.consensus import consolidate, overruled
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace
from ml_assets.spool import inbox
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .reviews import TASK, reasons, run, settings, table, uri, write_csv


def said(store: ProjectStore) -> dict[str, tuple[str | None, bool]]:
    """The label of each text, and whether it is in conflict."""
    found = consolidate(from_given(store.table("given_labels").read()), TASK, store.table("samples").ids("split = 'test'"))
    words = {row["id"]: row["text"] for row in store.table("samples").read(["id", "text"]).to_pylist()}
    return {words.get(row["id"], row["id"]): (row["value"], row["conflict"]) for row in found.to_pylist()}


def check(store: ProjectStore, *sources: object) -> dg.AssetCheckResult:
    made = {c.check_key.name: c for c in collection_checks(store.project, settings(), TASK)}
    found = made["labels_agree"](workspace=Workspace())
    assert isinstance(found, dg.AssetCheckResult)
    return found


def test_two_rows_that_contradict_each_other_are_a_conflict_that_is_told(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("soup", "good"), ("bread", "good"), ("soup", "bad"), ("bread", "good")])
    done = run(store, table(path, label="label"))
    assert (done.received, done.accepted, done.duplicates) == (4, 2, 2)
    assert said(store) == {"soup": (None, True), "bread": ("good", False)}
    told = check(store)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    key = Text().sample_id("soup")
    assert told.description == (
        f"1 samples have contradicting labels: sample {key} is 'bad' by 'published' in {uri(path)} "
        f"and 'good' by 'published' in {uri(path)}"
    )


def test_two_files_that_contradict_each_other_are_a_conflict_that_is_told(store: ProjectStore, data: Path) -> None:
    sources = [table(write_csv(data / f"{n}.csv", [("soup", v)]), n, label="label") for n, v in (("a", "good"), ("b", "bad"))]
    run(store, *sources)
    assert said(store) == {"soup": (None, True)}
    assert "'bad' by 'published'" in str(check(store).description)


def test_two_labelers_of_the_sources_that_differ_are_told_and_a_majority_is_not(store: ProjectStore, data: Path) -> None:
    for name, soup, bread in (("ann", "good", "good"), ("ben", "bad", "bad"), ("eve", "good", None)):
        path = write_csv(data / f"{name}.csv", [("soup", soup), ("bread", bread)] if bread else [("soup", soup)])
        run(store, table(path, name, label="label", labeler=name))
    assert said(store) == {"soup": ("good", False), "bread": (None, True)}
    found = contradictions(store.table("given_labels").read(), TASK)
    assert [each.sample_id for each in found] == [Text().sample_id("bread")]


def test_a_file_that_changed_takes_back_what_it_said(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("soup", "good"), ("bread", "bad")])
    run(store, table(path, label="label"))
    before = from_given(store.table("given_labels").read())
    write_csv(path, [("soup", "bad")])
    os.utime(path, (1, 1))
    run(store, table(path, label="label"))
    assert said(store) == {"soup": ("bad", False), "bread": ("bad", False)}, "what it does not speak of any more stays"
    assert check(store).passed
    gone = mark_deleted(not_given(before, from_given(store.table("given_labels").read())))
    assert gone.to_pydict()["value"] == ["good"]


def test_a_row_of_the_version_before_is_taken_back_by_its_file(store: ProjectStore, data: Path) -> None:
    """It does not know its file: that which is read again has it."""
    path = write_csv(data / "a.csv", [("soup", "good")])
    run(store, table(path, label="label"))
    [row] = store.table("given_labels").read().to_pylist()
    store.table("given_labels").delete("id IS NOT NULL")
    from ml_assets.state.digests import content_id

    old = row | {"id": content_id(row["sample_id"], "published"), "file": None}
    store.table("given_labels").upsert(rows("given_labels", [old]))
    assert said(store) == {"soup": ("good", False)}
    write_csv(path, [("soup", "bad")])
    os.utime(path, (1, 1))
    run(store, table(path, label="label"))
    assert said(store) == {"soup": ("bad", False)}


@pytest.mark.parametrize("labeler", ["published", "Published", "admin@localhost.example", "somebody else", None])
@pytest.mark.parametrize("split", ["test", None])
def test_a_push_does_not_change_a_test_label_that_came_with_the_data(
    store: ProjectStore, data: Path, labeler: str | None, split: str | None
) -> None:
    source = table(write_csv(data / "a.csv", [("soup", "good")]), split=split, label="label")
    run(store, source, test_share=0.999)
    line = {"content": "soup", "label": "bad", "labeler": labeler, "labeler_kind": "published", "client": "shop"}
    for other in ("shop", "another"):  # two voices against one
        inbox.write("reviews", "samples", [line | {"client": other}])
    run(store, source, test_share=0.999)
    assert said(store) == {"soup": ("good", False)}
    given = store.table("given_labels").read().to_pylist()
    assert {row["labeler"]: row["value"] for row in given}["published"] == "good"
    assert {row["labeler_kind"] for row in given if row["labeler"] != "published"} <= {"program"}
    reserved = labeler in ("published", "Published", "admin@localhost.example")
    assert len(reasons(store)) == (2 if reserved else 0)
    counted = overruled(from_given(store.table("given_labels").read()), store.table("samples").ids("split = 'test'"))
    assert counted.num_rows == len(given) - 1


def test_a_push_counts_where_no_test_label_is_fixed(store: ProjectStore, data: Path) -> None:
    run(store, table(write_csv(data / "a.csv", [("soup", "good")]), split="train", label="label"))
    for client in ("one", "two"):
        inbox.write("reviews", "samples", [{"content": text, "label": "bad", "client": client} for text in ("soup", "new")])
    run(store)
    assert said(store) == {"soup": ("bad", False), "new": ("bad", False)}
