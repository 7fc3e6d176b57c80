"""What models learn from, and what they are compared on."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_assets.features.embeddings import as_rows, table_of
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice
from ml_assets.training.architectures import TextCNN
from ml_assets.training.data import NotEnoughLabels, joined, split_data, train_and_validation
from ml_assets.training.fit import Examples

from .topics import CLASSES, QUICK, TASK, examples, fill

THREE = SingleChoice(classes=("c0", "c1", "c2"))


def of(counts: list[int]) -> Examples:
    """Examples whose vectors are their own numbers."""
    values = [f"c{i}" for i, count in enumerate(counts) for _ in range(count)]
    return Examples(np.arange(len(values), dtype=np.float32)[:, None], values)


def classes_of(counts: list[int]) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(len(counts)))


@given(st.lists(st.integers(2, 60), min_size=2, max_size=6), st.floats(0.01, 0.99), st.integers(0, 5))
@example([98, 2], 0.2, 0)
@example([2, 2, 2], 0.9, 0)
@example([2, 2, 2], 0.01, 0)
def test_both_parts_hold_every_class_and_share_no_sample(counts: list[int], share: float, seed: int) -> None:
    data, classes = of(counts), classes_of(counts)
    task = SingleChoice(classes=classes)
    train, validation = train_and_validation(data, classes, task, share, seed)
    ids = [part.inputs[:, 0].astype(int).tolist() for part in (train, validation)]
    assert sorted(ids[0] + ids[1]) == list(range(len(data)))
    for part, own in zip((train, validation), ids, strict=True):
        assert set(part.values) == set(classes)
        assert part.values == [data.values[i] for i in own]
    again = train_and_validation(data, classes, task, share, seed)
    assert [np.array_equal(a.inputs, b.inputs) for a, b in zip(again, (train, validation), strict=True)] == [True, True]


@given(st.lists(st.integers(20, 60), min_size=2, max_size=5), st.sampled_from([0.1, 0.2, 0.5]))
def test_every_class_gives_its_share(counts: list[int], share: float) -> None:
    classes = classes_of(counts)
    _, validation = train_and_validation(of(counts), classes, SingleChoice(classes=classes), share, 0)
    found = np.array([list(validation.values).count(name) for name in classes])
    assert (abs(found - share * np.array(counts)) <= 1.5).all()


def test_too_few_labels_are_said_with_the_class() -> None:
    with pytest.raises(NotEnoughLabels) as caught:
        train_and_validation(of([5, 1, 5]), ("c0", "c1", "c2"), THREE, 0.2, 0)
    assert str(caught.value) == "class 'c1' has 1 labelled training samples: at least 2 are needed to train"
    with pytest.raises(NotEnoughLabels, match="class 'c2' has 0"):
        train_and_validation(of([5, 5]), ("c0", "c1", "c2"), THREE, 0.2, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), min_size=12, max_size=80), st.sampled_from([0.1, 0.2, 0.4]))
def test_a_group_is_never_on_both_sides(drawn: list[tuple[int, int]], share: float) -> None:
    drawn += [(c, g) for c in range(3) for g in (0, 1, 2)]  # each class in three groups
    data = Examples(
        np.arange(len(drawn), dtype=np.float32)[:, None], [f"c{c}" for c, _ in drawn], groups=[f"g{g}" for _, g in drawn]
    )
    train, validation = train_and_validation(data, THREE.classes, THREE, share, 0)
    assert sorted(int(i) for part in (train, validation) for i in part.inputs[:, 0]) == list(range(len(drawn)))
    assert not set(train.groups) & set(validation.groups)
    assert set(train.values) == set(THREE.classes)
    assert len(validation)


def test_a_class_of_one_group_is_learnt() -> None:
    values, groups = ["c0", "c1"] * 10 + ["c2"] * 4, [f"g{i // 4}" for i in range(20)] + ["only"] * 4
    for seed in range(5):
        data = Examples(np.zeros((24, 1), np.float32), values, groups=groups)
        train, validation = train_and_validation(data, THREE.classes, THREE, 0.2, seed)
        assert set(train.values) == {"c0", "c1", "c2"}
        assert set(validation.values) == {"c0", "c1"}


def test_groups_come_from_the_samples_and_those_without_one_stand_alone(store: ProjectStore) -> None:
    chosen = fill(store, train=6, test=3)
    assert split_data(store, chosen, Text(), TASK, QUICK, "train").examples.groups == []
    samples = store.table("samples").read().to_pylist()
    first = min(row["id"] for row in samples if row["split"] == "train")
    store.table("samples").upsert(rows("samples", [row | {"group": "a"} for row in samples if row["id"] == first]))
    found = split_data(store, chosen, Text(), TASK, QUICK, "train")
    assert found.examples.groups == ["a", *found.ids[1:]]


def test_near_duplicates_are_of_one_group(store: ProjectStore) -> None:
    chosen = fill(store, train=30, test=3)
    table = table_of(store, Text().encoder("minilm"))
    ids = sorted(row["id"] for row in chosen.rows.to_pylist() if row["split"] == "train")
    own = np.random.default_rng(0).normal(size=(len(ids), 384)).astype(np.float32)
    own[4] = own[2] + 0.01
    table.upsert(as_rows(ids, own))
    assert split_data(store, chosen, Text(), TASK, QUICK, "train").examples.groups == [
        ids[2] if i == 4 else s for i, s in enumerate(ids)
    ]
    samples = store.table("samples").take([ids[4], ids[9]]).to_pylist()
    store.table("samples").upsert(rows("samples", [row | {"group": "a speaker"} for row in samples]))
    found = split_data(store, chosen, Text(), TASK, QUICK, "train").examples.groups
    assert len({found[2], found[4], found[9]}) == 1, "the speaker's other samples go with them"
    assert len(set(found)) == 28


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=30))
def test_groups_with_near_duplicates_of_each_other_become_one(drawn: list[tuple[int, int]]) -> None:
    groups, near = [f"g{g}" for g, _ in drawn], [n for _, n in drawn]
    found = joined(groups, near)
    links = np.array([[a == b or x == y for b, y in drawn] for a, x in drawn], float)
    linked = np.linalg.matrix_power(links, len(drawn)) > 0
    assert [[a == b for b in found] for a in found] == linked.tolist()
    assert set(found) <= set(groups)


def test_a_small_class_of_two_groups_is_in_both_parts() -> None:
    values, groups = ["c0", "c1"] * 20 + ["c2"] * 3, [f"g{i // 2}" for i in range(40)] + ["x", "x", "y"]
    for seed in range(5):
        data = Examples(np.zeros((43, 1), np.float32), values, groups=groups)
        train, validation = train_and_validation(data, THREE.classes, THREE, 0.2, seed)
        assert set(train.values) == set(validation.values) == {"c0", "c1", "c2"}
        assert not set(train.groups) & set(validation.groups)


def test_the_splits_of_a_feature_set_are_apart(store: ProjectStore) -> None:
    chosen = fill(store, train=12, test=9)
    train, test = (split_data(store, chosen, Text(), TASK, QUICK, split) for split in ("train", "test"))
    assert (len(train.ids), len(test.ids)) == (12, 9)
    assert not set(train.ids) & set(test.ids)
    assert train.ids == sorted(train.ids)
    texts = dict(zip(*(store.table("samples").read(["id", "text"])[c].to_pylist() for c in ("id", "text")), strict=True))
    for data in (train, test):
        assert data.examples.values == [texts[i].split()[0] for i in data.ids]
        assert data.examples.inputs.shape == (len(data.ids), 384)
    assert len(split_data(store, chosen, Text(), TASK, QUICK, "validation").ids) == 0


def test_a_vector_that_is_not_stored_is_computed(store: ProjectStore) -> None:
    chosen = fill(store, train=6, test=3)
    gone, split = chosen.rows["id"][0].as_py(), chosen.rows["split"][0].as_py()
    before = split_data(store, chosen, Text(), TASK, QUICK, split)
    table = store.embeddings("minilm", 384)
    table.delete(f"id = '{gone}'")
    found = split_data(store, chosen, Text(), TASK, QUICK, split)
    [text] = store.table("samples").take([gone], ["text"])["text"].to_pylist()
    at = found.ids.index(gone)
    assert np.array_equal(found.examples.inputs[at], Text().encoder("minilm").encode([text])[0])
    assert np.array_equal(np.delete(found.examples.inputs, at, 0), np.delete(before.examples.inputs, at, 0))


def test_networks_that_read_texts_get_their_word_pieces(store: ProjectStore) -> None:
    chosen = fill(store, train=6, test=3)
    found = split_data(store, chosen, Text(), TASK, TextCNN(), "train")
    texts = store.table("samples").take(found.ids, ["text"])["text"].to_pylist()
    assert np.array_equal(found.examples.inputs, TextCNN().inputs(texts, Text().encoder("minilm")))
    store.table("samples").delete(f"id = '{found.ids[0]}'")
    with pytest.raises(LookupError, match="1 of 6 samples are no longer there"):
        split_data(store, chosen, Text(), TASK, TextCNN(), "train")


def test_examples_are_taken_by_position() -> None:
    taken = examples(9).take(np.array([8, 0]))
    assert (list(taken.values), len(taken)) == ([CLASSES[2], CLASSES[0]], 2)
