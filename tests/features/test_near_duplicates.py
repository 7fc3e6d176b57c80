"""Near duplicates are found whatever their number, told when they stand in both splits, and told from crowded embeddings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_assets.features import feature_set as sets
from ml_assets.features import near_duplicates
from ml_assets.features.checks import features_checks
from ml_assets.features.embeddings import as_rows, table_of
from ml_assets.features.near_duplicates import CLOSE, Contents, across, folded, groups, how_close
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace
from ml_assets.state.clock import now
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

TASK = SingleChoice(classes=("a", "b"))


def spread(n: int, seed: int = 0, d: int = 96) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def copied(vectors: NDArray[np.float32], copies: dict[int, int], noise: float = 0.02) -> NDArray[np.float32]:
    """The vectors, of which the one at each key was made a near duplicate of the one at its value."""
    found = vectors.copy()
    for copy, of in copies.items():
        found[copy] = 3 * found[of] + noise * spread(1, copy, vectors.shape[1])
    return found


@given(st.sampled_from([2, 3, 5, 96]), st.integers(2, 60), st.integers(0, 5), st.integers(1, 7))
def test_every_pair_that_is_close_is_found(d: int, n: int, seed: int, block: int) -> None:
    vectors, others = spread(n, seed, d), spread(n // 2 + 1, seed + 100, d)
    vectors[:1] = 0  # one without a vector is close to nothing
    unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9) for v in (vectors, others)]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROWS", "COLUMNS", "PAIRS"):
            patch.setattr(near_duplicates, name, block)
        found = across(Contents(vectors), Contents(others), 0.98)
        labels = near_duplicates._grouped(vectors, 0.98, np.arange(n))
    near = unit[0] @ unit[1].T >= 0.98
    assert set(found) == set(np.flatnonzero(near.any(1)))
    assert all(near[i, j] for i, j in found.items())
    linked = np.linalg.matrix_power((unit[0] @ unit[0].T >= 0.98).astype(float) + np.eye(n), n) > 0
    assert ((labels[:, None] == labels[None]) == linked).all()


def test_texts_are_equal_but_for_case_space_and_punctuation() -> None:
    assert folded("It's FINE,\n really…") == folded("its fine -- REALLY")
    assert folded("Straße") == folded("STRASSE")
    assert folded("🙂!") != folded("🙁!")
    assert folded("?!") == "?!"
    assert folded("की") != folded("कि"), "vowel signs are no punctuation"
    assert folded("one two") != folded("one three")


def test_groups_are_joined_by_texts_and_by_vectors() -> None:
    vectors = copied(spread(30), {7: 3, 9: 7})
    vectors[20:22] = 0
    texts = [f"text {i}" for i in range(30)]
    texts[20], texts[21], texts[25] = "The same.", "the same", "text 3"
    found = groups(Contents(vectors, [folded(t) for t in texts]), ["a", "b"] * 15)
    together = [set(np.flatnonzero(found == label)) for label in set(found.tolist())]
    assert [s for s in sorted(together, key=min) if len(s) > 1] == [{3, 7, 9, 25}, {20, 21}]


def test_an_encoder_that_puts_all_samples_close_together_has_no_near_duplicates_of_all() -> None:
    crowded = spread(400) * 0.02 + 1
    assert how_close(spread(400), ["a", "b"] * 200) == CLOSE[0]
    close = how_close(crowded, ["a", "b"] * 200)
    assert close > CLOSE[0]
    assert len(set(groups(Contents(copied(crowded, {5: 4}, 0)), ["a", "b"] * 200).tolist())) == 399
    corners = np.repeat(np.eye(8, 96, dtype=np.float32), 50, axis=0) + 0.01 * spread(400)
    assert how_close(corners, [i // 50 for i in range(400)]) > CLOSE[0], "a class is no near duplicate of itself"
    assert how_close(crowded[:0], []) == CLOSE[0]


def test_no_more_vectors_than_the_bound_are_compared(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "AT_MOST", 3)
    encoder = Text().encoder("minilm")
    table_of(store, encoder).insert(as_rows(["a", "b", "c", "d"], spread(4, d=384)))
    found = near_duplicates.contents(store, Text(), encoder, ["d", "c", "b", "a"])
    assert np.any(found.vectors, axis=1).tolist() == [False, True, True, True]


@pytest.mark.parametrize("copies", [0, 3])
def test_the_check_tells_near_duplicates_of_test_samples(store: ProjectStore, copies: int) -> None:
    texts = [f"{'ab'[i % 2]} number {i}" for i in range(40)]
    if copies:
        texts[30] = "A: number 0!"
    listed = [
        {"id": content_id("text", text), "text": text, "split": "train" if i < 30 else "test", "value": "ab"[i % 2]}
        for i, text in enumerate(texts)
    ]
    store.table("samples").upsert(rows("samples", [{k: r[k] for k in ("id", "text", "split")} for r in listed]))
    vectors = copied(spread(40, d=384), {31: 4, 32: 4} if copies else {35: 36})
    table_of(store, Text().encoder("minilm")).insert(as_rows([r["id"] for r in listed], vectors))
    dataset = rows("dataset", [{k: r[k] for k in ("id", "value", "split")} for r in listed])
    store.table("dataset").replace(dataset, "ds-1")
    sets.save(store, [sets.choose(dataset, "ds-1", FeaturesSettings(), TASK, "minilm")], now())
    checks = features_checks(store.project, FeaturesSettings(), Text(), TASK)
    [check] = [each for each in checks if each.check_key.name == "near_duplicates_apart"]
    found = check(workspace=Workspace())
    assert found.passed == (copies == 0)
    figures = found.metadata["feature set"].value
    assert figures["near duplicates"] == copies
    if copies:
        assert found.description.startswith("near duplicates of 3 test samples stand in the training split (30.0%), such as of")
        assert len(figures["example"]) == 2
