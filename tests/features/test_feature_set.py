"""Which samples, which inputs, which classes: chosen from a dataset, kept under a name that follows from it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_assets.features.checks import features_checks
from ml_assets.features.feature_set import choose, current, load, save
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

AT = datetime(2026, 3, 9, tzinfo=UTC)
CLASSES = ("cat", "dog", "ant", "bee")
TASK = SingleChoice(classes=CLASSES)
ROWS = [("s1", "cat", "train"), ("s2", "dog", "test"), ("s3", "ant", "train"), ("s4", "bee", "train"), ("s5", "ant", "train")]
MERGE = {"insect": ("ant", "bee")}


def dataset(*listed: tuple[str, str, str]) -> Any:
    return rows("dataset", [{"id": i, "value": value, "split": split} for i, value, split in listed or ROWS])


def test_by_default_everything_is_in(store: ProjectStore) -> None:
    chosen, recipe = choose(dataset(), "ds-1", FeaturesSettings(), TASK, "minilm")
    assert [tuple(r.values()) for r in chosen.rows.to_pylist()] == ROWS
    assert (chosen.classes, chosen.dataset, chosen.encoder) == (CLASSES, "ds-1", "minilm")
    assert recipe["targets"] == {name: name for name in CLASSES}
    assert chosen.counts("train", TASK) == {"cat": 1, "dog": 0, "ant": 2, "bee": 1}


def test_classes_are_kept_and_merged() -> None:
    chosen, _ = choose(dataset(), "ds-1", FeaturesSettings(keep=("cat", "ant", "bee"), merge=MERGE), TASK, "minilm")
    assert {r["id"]: r["target"] for r in chosen.rows.to_pylist()} == {
        "s1": "cat",
        "s3": "insect",
        "s4": "insect",
        "s5": "insect",
    }
    assert chosen.classes == ("cat", "insect")
    assert chosen.counts("test", TASK) == {"cat": 0, "insect": 0}


@given(st.randoms())
def test_the_order_of_rows_does_not_matter(random: Any) -> None:
    listed = list(ROWS)
    random.shuffle(listed)
    first, again = (choose(dataset(*r), "ds-1", FeaturesSettings(merge=MERGE), TASK, "minilm")[0] for r in (ROWS, listed))
    assert (first.id, first.rows.equals(again.rows)) == (again.id, True)


def test_its_name_follows_from_the_dataset_and_the_choices() -> None:
    options = [{}, {"keep": ("cat", "dog")}, {"merge": MERGE}, {"encoder": "other"}, {"merge": {"bug": ("ant", "bee")}}]
    names = {choose(dataset(), tag, FeaturesSettings(**o), TASK, "minilm")[0].id for o in options for tag in ("ds-1", "ds-2")}
    assert len(names) == 2 * len(options)
    assert {name[:3] for name in names} == {"fs-"}


def test_what_was_saved_is_loaded_for_ever(store: ProjectStore) -> None:
    first, recipe = choose(dataset(), "ds-1", FeaturesSettings(), TASK, "minilm")
    save(store, [(first, recipe)], AT)
    second, other = choose(dataset(("s9", "ant", "train")), "ds-2", FeaturesSettings(merge=MERGE), TASK, "minilm")
    save(store, [(second, other)], AT)
    for chosen in (first, second):
        again = load(store, chosen.id)
        assert (again.dataset, again.encoder, again.classes) == (chosen.dataset, chosen.encoder, chosen.classes)
        assert again.rows.to_pylist() == chosen.rows.to_pylist()
    save(store, [(first, recipe)], AT)
    assert store.table("feature_set").tags()[-1] == first.id
    assert store.table("feature_sets").count() == 2
    with pytest.raises(LookupError, match="there is no feature set 'fs-x' in project 'reviews'"):
        load(store, "fs-x")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"merge": {"a": ("ant",), "b": ("ant",)}}, "the class 'ant' is merged twice"),
        ({"merge": {"a": ("ant", "ant")}}, "the class 'ant' is merged twice"),
        ({"inputs": ()}, "at least 1 item"),
        ({"encoder": ""}, "at least 1 character"),
    ],
)
def test_choices_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FeaturesSettings(**options)


@pytest.mark.parametrize("options", [{"keep": ("cat", "cow")}, {"merge": {"animal": ("cow",)}}])
def test_a_class_that_nobody_labels_is_said(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="features names the class 'cow': choose one of cat, dog, ant, bee"):
        FeaturesSettings(**options).targets(CLASSES)


def check(name: str) -> Any:
    [found] = [c for c in features_checks("reviews", FeaturesSettings(), Text(), TASK) if c.check_key.name == name]
    return found(workspace=Workspace())


def test_the_check_sees_doubles_and_classes_without_samples(store: ProjectStore) -> None:
    whole = [(f"s{n}", CLASSES[n % 4], "train" if n < 8 else "test") for n in range(12)]
    chosen, recipe = choose(dataset(*whole), "ds-1", FeaturesSettings(), TASK, "minilm")
    save(store, [(chosen, recipe)], AT)
    assert check("splits_disjoint").passed
    for hour, tag, listed, said in (
        (1, "ds-2", whole[:7], "fewer than 2 training samples of bee: label more"),
        (2, "ds-3", [*whole, ("s0", "cat", "test")], "1 samples stand twice"),
    ):
        chosen, recipe = choose(dataset(*listed), tag, FeaturesSettings(), TASK, "minilm")
        save(store, [(chosen, recipe)], AT.replace(hour=hour))
        found = check("splits_disjoint")
        assert (found.passed, found.description) == (False, said)


def test_feature_sets_side_by_side_change_what_is_given_above_them() -> None:
    assert list(FeaturesSettings().each()) == [""]
    given = {"plain": None, "few": {"keep": ["cat", "ant"]}, "other": {"encoder": "big", "merge": {}}}
    settings = FeaturesSettings.model_validate({"merge": MERGE, "sets": given})
    found = settings.each()
    assert list(found) == ["plain", "few", "other"]
    assert (found["plain"].merge, found["plain"].encoder) == (MERGE, None)
    assert found["few"].targets(CLASSES) == {"cat": "cat", "ant": "insect"}
    assert (found["other"].merge, found["other"].encoder) == ({}, "big")
    assert settings.encoders("minilm") == ["minilm", "big"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"a": {}, "b": {}}, "the feature sets 'a' and 'b' are the same"),
        ({"a": {}, "b": {"inputs": ["content"]}}, "the feature sets 'a' and 'b' are the same"),
        ({"My set": {}}, "the feature set 'My set' needs another name"),
        ({"a": {"sets": {}}}, "Extra inputs"),
        ({"a": {"merge": {"x": ["ant"], "y": ["ant"]}}}, "the class 'ant' is merged twice"),
    ],
)
def test_feature_sets_that_cannot_stand_side_by_side(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FeaturesSettings(sets=options)


def versions(store: ProjectStore) -> list[int]:
    return [store.table(name)._open().version for name in ("feature_set", "feature_sets")]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_feature_sets_that_are_the_current_ones_are_not_written_again(store: ProjectStore, count: int) -> None:
    options = [FeaturesSettings(), FeaturesSettings(merge=MERGE), FeaturesSettings(keep=("cat", "dog"))][:count]
    made = [choose(dataset(), "ds-1", each, TASK, "minilm", f"set{n}") for n, each in enumerate(options)]
    save(store, made, AT)
    before, stood = versions(store), [chosen.id for chosen in current(store)]
    save(store, made, AT + timedelta(days=1))
    assert versions(store) == before
    assert [chosen.id for chosen in current(store)] == stood == [chosen.id for chosen, _ in made]


def test_a_feature_set_more_is_written_alone_and_all_are_current(store: ProjectStore) -> None:
    first, second = (choose(dataset(), "ds-1", each, TASK, "minilm", name) for each, name in
                     ((FeaturesSettings(), "a"), (FeaturesSettings(merge=MERGE), "b")))  # fmt: skip
    save(store, [first], AT)
    save(store, [first, second], AT + timedelta(days=1))
    assert [chosen.id for chosen in current(store)] == [first[0].id, second[0].id]
    save(store, [second], AT + timedelta(days=2))
    assert [chosen.id for chosen in current(store)] == [second[0].id]
    assert load(store, first[0].id).rows.to_pylist() == first[0].rows.to_pylist()
