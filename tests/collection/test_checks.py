"""The checks of the samples see what is wrong with them."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.collection.checks import collection_checks
from ml_assets.collection.sources import Source
from ml_assets.orchestration.resources import Workspace
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

from .reviews import TASK, run, settings, table, write_csv


def check(name: str, *sources: Source, **options: Any) -> dg.AssetCheckResult:
    made = {c.check_key.name: c for c in collection_checks("reviews", settings(*sources, **options), TASK)}
    found = made[name](workspace=Workspace())
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.fixture
def collected(store: ProjectStore, data: Path) -> ProjectStore:
    run(store, table(write_csv(data / "a.csv", [("fine", "good"), ("", "bad"), ("fine", "good"), ("poor", "bad")])))
    return store


def test_what_was_collected_is_clean_and_whole(collected: ProjectStore) -> None:
    assert check("clean").passed
    whole = check("nothing_lost")
    assert whole.passed
    assert {k: v.value for k, v in whole.metadata.items()} == {"received": 4, "accepted": 2, "duplicates": 1, "rejected": 1}


def test_nothing_collected_is_not_clean(store: ProjectStore) -> None:
    assert not check("clean").passed


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "\r\nnot trimmed", "split": "train"}, "intact"),
        ({"text": "zero\x00", "split": "train"}, "intact"),
        ({"text": "well", "split": "validation"}, "split"),
    ],
)
def test_a_row_that_is_not_clean_is_seen(collected: ProjectStore, row: dict[str, str], said: str) -> None:
    collected.table("samples").insert(rows("samples", [{"id": content_id("text", row["text"]), **row}]))
    found = check("clean")
    assert not found.passed
    assert f"'column': '{said}'" in (found.description or "")


def test_a_sample_that_was_altered_is_seen(collected: ProjectStore) -> None:
    table = collected.table("samples")
    [row] = table.read(where="text = 'fine'").to_pylist()
    table.upsert(rows("samples", [row | {"text": "bad"}]))
    assert "'column': 'intact'" in (check("clean").description or "")


def test_samples_that_came_in_under_wider_bounds_stay_and_are_told(collected: ProjectStore) -> None:
    """Bounds that are narrowed later must not hold the project up for ever."""
    assert check("within_bounds").passed
    found = check("within_bounds", min_length=5)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "2 samples are shorter than min_length 5 or longer than max_length 100000: "
        "they came in under wider bounds and stay, what comes now is set aside"
    )
    assert check("clean", min_length=5).passed


def test_a_row_that_was_lost_is_seen(collected: ProjectStore) -> None:
    lost = {"id": "x", "uri": "file:///b.csv", "received": 5, "accepted": 2, "duplicates": 1, "rejected": 1}
    collected.table("receipts").insert(rows("receipts", [lost]))
    found = check("nothing_lost")
    assert not found.passed
    assert "[1]" in (found.description or "")


def test_a_path_that_matches_nothing_is_told(store: ProjectStore, tmp_path: Path) -> None:
    found = check("sources_readable", table(tmp_path / "nothing.csv", name="mails"))
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "source 'mails': there is nothing at" in str(found.description)


def test_labels_that_were_refused_are_warned_of_and_stop_what_follows_if_all_were(store: ProjectStore, data: Path) -> None:
    good = [(f"text {i}", "good") for i in range(19)]
    run(store, table(write_csv(data / "a.csv", [*good, ("x", "fine")]), label="label"))
    assert check("labels_usable").passed  # one of 20
    run(store, table(write_csv(data / "b.csv", [("y", "fine"), ("z", "poor")]), "second", label="label"))
    found = check("labels_usable")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "3 of 22 labels were refused, 2 of them as unknown class 'fine': choose one of good, bad: "
        "`ml-assets rejects reviews` lists them"
    )
    assert check("labels_usable", refused_labels=0.5).passed


def test_if_no_label_was_usable_nothing_is_made_of_the_samples(store: ProjectStore, data: Path) -> None:
    assert check("labels_usable").passed  # none came
    run(store, table(write_csv(data / "a.csv", [("x", "fine")]), label="label"))
    found = check("labels_usable")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
