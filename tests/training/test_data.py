"""What models learn from, and what they are compared on."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.training.data import NotEnoughLabels, split_data, train_and_validation
from ml_assets.training.fit import Examples

from .topics import CLASSES, examples, fill


def of(counts: list[int]) -> Examples:
    """Examples whose vectors are their own numbers."""
    targets = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return Examples(np.arange(len(targets), dtype=np.float32)[:, None], targets)


@given(st.lists(st.integers(2, 60), min_size=2, max_size=6), st.floats(0.01, 0.99), st.integers(0, 5))
@example([98, 2], 0.2, 0)
@example([2, 2, 2], 0.9, 0)
@example([2, 2, 2], 0.01, 0)
def test_both_parts_hold_every_class_and_share_no_sample(counts: list[int], share: float, seed: int) -> None:
    data, classes = of(counts), tuple(f"c{i}" for i in range(len(counts)))
    train, validation = train_and_validation(data, classes, share, seed)
    ids = [part.vectors[:, 0].astype(int).tolist() for part in (train, validation)]
    assert sorted(ids[0] + ids[1]) == list(range(len(data)))
    for part, own in zip((train, validation), ids, strict=True):
        assert set(part.targets) == set(range(len(counts)))
        assert np.array_equal(part.targets, data.targets[own])
    again = train_and_validation(data, classes, share, seed)
    assert [np.array_equal(a.vectors, b.vectors) for a, b in zip(again, (train, validation), strict=True)] == [True, True]


@given(st.lists(st.integers(20, 60), min_size=2, max_size=5), st.sampled_from([0.1, 0.2, 0.5]))
def test_every_class_gives_its_share(counts: list[int], share: float) -> None:
    _, validation = train_and_validation(of(counts), tuple(f"c{i}" for i in range(len(counts))), share, 0)
    found = np.bincount(validation.targets, minlength=len(counts))
    assert (abs(found - share * np.array(counts)) <= 1.5).all()


def test_too_few_labels_are_said_with_the_class() -> None:
    with pytest.raises(NotEnoughLabels) as caught:
        train_and_validation(of([5, 1, 5]), CLASSES, 0.2, 0)
    assert str(caught.value) == "class 'law' has 1 labelled training samples: at least 2 are needed to train"
    with pytest.raises(NotEnoughLabels, match="class 'sport' has 0"):
        train_and_validation(of([5, 5]), CLASSES, 0.2, 0)


def test_the_splits_of_a_feature_set_are_apart(store: ProjectStore) -> None:
    chosen = fill(store, train=12, test=9)
    encoder = Text().encoder("minilm")
    train, test = (split_data(store, chosen, encoder, split) for split in ("train", "test"))
    assert (len(train.ids), len(test.ids)) == (12, 9)
    assert not set(train.ids) & set(test.ids)
    assert train.ids == sorted(train.ids)
    texts = dict(zip(*(store.table("samples").read(["id", "text"])[c].to_pylist() for c in ("id", "text")), strict=True))
    for data in (train, test):
        assert [CLASSES[t] for t in data.examples.targets] == [texts[i].split()[0] for i in data.ids]
        assert data.examples.vectors.shape == (len(data.ids), 384)
    assert len(split_data(store, chosen, encoder, "validation").ids) == 0


def test_a_sample_without_a_vector_is_said(store: ProjectStore) -> None:
    chosen = fill(store, train=6, test=3)
    encoder = Text().encoder("minilm")
    store.embeddings(encoder.name, 384).delete(f"id = '{chosen.rows['id'][0]}'")
    split = chosen.rows["split"][0].as_py()
    with pytest.raises(LookupError, match=r"1 of \d samples have no embedding yet: run the asset embeddings"):
        split_data(store, chosen, encoder, split)


def test_examples_are_taken_by_position() -> None:
    taken = examples(9).take(np.array([8, 0]))
    assert (taken.targets.tolist(), len(taken)) == ([2, 0], 2)
