"""What models learn from, and what they are compared on."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.training.architectures import TextCNN
from ml_assets.training.data import NotEnoughLabels, split_data, train_and_validation
from ml_assets.training.fit import Examples

from .topics import CLASSES, QUICK, examples, fill


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
    ids = [part.inputs[:, 0].astype(int).tolist() for part in (train, validation)]
    assert sorted(ids[0] + ids[1]) == list(range(len(data)))
    for part, own in zip((train, validation), ids, strict=True):
        assert set(part.targets) == set(range(len(counts)))
        assert np.array_equal(part.targets, data.targets[own])
    again = train_and_validation(data, classes, share, seed)
    assert [np.array_equal(a.inputs, b.inputs) for a, b in zip(again, (train, validation), strict=True)] == [True, True]


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
    train, test = (split_data(store, chosen, Text(), QUICK, split) for split in ("train", "test"))
    assert (len(train.ids), len(test.ids)) == (12, 9)
    assert not set(train.ids) & set(test.ids)
    assert train.ids == sorted(train.ids)
    texts = dict(zip(*(store.table("samples").read(["id", "text"])[c].to_pylist() for c in ("id", "text")), strict=True))
    for data in (train, test):
        assert [CLASSES[t] for t in data.examples.targets] == [texts[i].split()[0] for i in data.ids]
        assert data.examples.inputs.shape == (len(data.ids), 384)
    assert len(split_data(store, chosen, Text(), QUICK, "validation").ids) == 0


def test_a_vector_that_is_not_stored_is_computed(store: ProjectStore) -> None:
    chosen = fill(store, train=6, test=3)
    gone, split = chosen.rows["id"][0].as_py(), chosen.rows["split"][0].as_py()
    before = split_data(store, chosen, Text(), QUICK, split)
    table = store.embeddings("minilm", 384)
    table.delete(f"id = '{gone}'")
    found = split_data(store, chosen, Text(), QUICK, split)
    [text] = store.table("samples").take([gone], ["text"])["text"].to_pylist()
    at = found.ids.index(gone)
    assert np.array_equal(found.examples.inputs[at], Text().encoder("minilm").encode([text])[0])
    assert np.array_equal(np.delete(found.examples.inputs, at, 0), np.delete(before.examples.inputs, at, 0))


def test_networks_that_read_texts_get_their_word_pieces(store: ProjectStore) -> None:
    chosen = fill(store, train=6, test=3)
    found = split_data(store, chosen, Text(), TextCNN(), "train")
    texts = store.table("samples").take(found.ids, ["text"])["text"].to_pylist()
    assert np.array_equal(found.examples.inputs, TextCNN().inputs(texts, Text().encoder("minilm")))
    store.table("samples").delete(f"id = '{found.ids[0]}'")
    with pytest.raises(LookupError, match="1 of 6 samples are no longer there"):
        split_data(store, chosen, Text(), TextCNN(), "train")


def test_examples_are_taken_by_position() -> None:
    taken = examples(9).take(np.array([8, 0]))
    assert (taken.targets.tolist(), len(taken)) == ([2, 0], 2)
