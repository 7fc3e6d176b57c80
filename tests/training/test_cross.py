"""Cross-validation finds labels that are wrong, and says nothing of a sample by a model that learnt from it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import as_rows, table_of
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Image, Text
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import MultipleChoice, SingleChoice
from ml_assets.training.assets import training_assets
from ml_assets.training.checks import training_checks
from ml_assets.training.cross import cross_validate, out_of_sample, save, suspects
from ml_assets.training.data import folds
from ml_assets.training.fit import Examples
from ml_assets.training.settings import TrainingSettings

from .topics import AT

DIGITS = SingleChoice(classes=tuple("0123456789"))


@pytest.fixture
def digits(tmp_path: Path) -> tuple[ProjectStore, set[str]]:
    """A project of 1,797 pictures of digits as vectors, and the samples whose label is wrong: 5 % of the training samples."""
    store, data = ProjectStore("digits", tmp_path), load_digits()
    ids = [content_id("digit", str(i)) for i in range(len(data.target))]
    splits = ["test" if i % 5 == 0 else "train" for i in range(len(ids))]
    chance = np.random.default_rng(0)
    train = [i for i, split in enumerate(splits) if split == "train"]
    planted = chance.choice(train, round(0.05 * len(train)), replace=False)
    values = data.target.copy()
    values[planted] = (values[planted] + chance.integers(1, 10, len(planted))) % 10
    named = [{"id": i, "text": f"digit {n}", "split": split} for n, (i, split) in enumerate(zip(ids, splits, strict=True))]
    store.table("samples").upsert(rows("samples", named))
    vectors = np.zeros((len(ids), 384), np.float32)
    vectors[:, :64] = data.data
    table_of(store, Text().encoder("minilm")).insert(as_rows(ids, vectors))
    labelled = [{"id": i, "value": str(v), "split": s} for i, v, s in zip(ids, values, splits, strict=True)]
    store.table("labels").upsert(rows("labels", [{"id": r["id"], "value": r["value"], "conflict": False} for r in labelled]))
    dataset = rows("dataset", labelled)
    store.table("dataset").replace(dataset, "ds-1")
    sets.save(store, [sets.choose(dataset, "ds-1", FeaturesSettings(), DIGITS, "minilm")], AT)
    return store, {ids[i] for i in planted}


def test_most_planted_wrong_labels_are_the_first_of_the_differs_view(digits: tuple[ProjectStore, set[str]]) -> None:
    from ml_assets.visualization.dataset import dataset_rows

    store, planted = digits
    done = cross_validate(store, sets.current(store), Text(), DIGITS, 0)
    assert save(store, done, AT) == len(done.ids) == store.table("samples").count("split = 'train'")
    shown = [row for row in dataset_rows(store, DIGITS).to_pylist() if row["differs"]]
    shown.sort(key=lambda row: -row["confidence"])  # as `sort=surest` has them
    first = {row["id"] for row in shown[: len(planted)]}
    assert len(first & planted) >= 0.8 * len(planted)
    assert len(set(suspects(store)) & planted) >= 0.6 * len(planted)
    assert len(set(suspects(store)) - planted) <= 0.1 * len(planted)


def test_the_same_labels_are_written_once(digits: tuple[ProjectStore, set[str]]) -> None:
    store, _ = digits
    done = cross_validate(store, sets.current(store), Text(), DIGITS, 0)
    save(store, done, AT)
    assert save(store, cross_validate(store, sets.current(store), Text(), DIGITS, 0), AT) == 0
    store.table("cross_predictions").upsert(rows("cross_predictions", [{"id": "no longer labelled"}]))
    assert save(store, done, AT) == 1
    assert store.table("cross_predictions").ids() == set(done.ids)


def test_the_asset_makes_the_table_and_its_check_warns(
    digits: tuple[ProjectStore, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    store, planted = digits
    monkeypatch.setattr(Workspace, "store", lambda self, project: store)
    made = training_assets("digits", TrainingSettings(), Text(), DIGITS)
    checks = [each for each in training_checks("digits", TrainingSettings(), Image()) if "few_suspects" in str(each.check_keys)]
    only = dg.AssetSelection.assets(key("digits", "cross_predictions"))
    versions = []
    for _ in range(2):
        done = dg.materialize([*made, *checks], selection=only, resources={"workspace": Workspace()})
        (event,) = done.get_asset_materialization_events()
        versions.append((event.step_materialization_data.materialization.tags or {})["dagster/data_version"])
        (check,) = done.get_asset_check_evaluations()
        assert check.passed
        assert str(check.description).endswith("labels may be wrong: the report shows them")
    assert versions[0] == versions[1]
    assert 0.6 * len(planted) < check.metadata["suspects"].value < 1.1 * len(planted)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=0, max_size=60),
    st.booleans(),
    st.integers(2, 6),
)
def test_each_sample_is_held_out_at_most_once_with_its_whole_group(
    drawn: list[tuple[int, int]], grouped: bool, count: int
) -> None:
    strata, groups = [s for s, _ in drawn], [f"g{g}" for _, g in drawn] if grouped else []
    held = []
    for train, out in folds(strata, groups, count, 0):
        assert sorted([*train, *out]) == list(range(len(drawn)))
        if grouped:
            assert not {groups[i] for i in train} & {groups[i] for i in out}
        held += out.tolist()
    assert sorted(held) in ([], list(range(len(drawn))))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=0, max_size=12), st.booleans())
def test_few_samples_are_predicted_or_left_out_but_never_an_error(values: list[str], many: bool) -> None:
    task = (MultipleChoice if many else SingleChoice)(classes=("a", "b", "c"))
    said = [task.parse([v] if many else v) for v in values]
    vectors = np.random.default_rng(0).normal(size=(len(values), 8)).astype(np.float32)
    known, found = out_of_sample(Examples(vectors, said), task.classes, task, 0)
    assert len(known) == len(found.labels) == len(found.confidence) == len(found.scores)
    assert np.isfinite(found.scores).all()


def test_several_classes_of_one_sample_are_told_apart() -> None:
    task = MultipleChoice(classes=("red", "round"))
    chance = np.random.default_rng(0)
    picked = chance.random((200, 2)) < 0.5
    picked[~picked.any(1), 0] = True
    vectors = (picked + chance.normal(0, 0.2, picked.shape)).astype(np.float32)
    values = [task.parse([c for c, on in zip(task.classes, row, strict=True) if on]) for row in picked]
    known, found = out_of_sample(Examples(vectors, values), task.classes, task, 0)
    assert np.mean([values[i] == label for i, label in zip(known, found.labels, strict=True)]) > 0.9
