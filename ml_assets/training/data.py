"""What networks read of the samples of a feature set, and the targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.features.embeddings import as_vectors, table_of
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Encoder, Modality
from ml_assets.store import ProjectStore
from ml_assets.training.architectures import Architecture
from ml_assets.training.fit import Examples


class NotEnoughLabels(ValueError):
    """There is too little to train on; the message says of which class."""


@dataclass(frozen=True)
class SplitData:
    """The samples of one split of a feature set.

    Args:
        ids: `n` sample ids, sorted.
        examples: What a network reads of them, and their targets, in the same order.
    """

    ids: list[str]
    examples: Examples


def split_data(
    store: ProjectStore, chosen: FeatureSet, modality: Modality, architecture: Architecture, split: str
) -> SplitData:
    """The samples of the split as the architecture reads them, in the order of their ids."""
    picked = [r for r in chosen.rows.to_pylist() if r["split"] == split]
    ids = [r["id"] for r in picked]
    index = {name: i for i, name in enumerate(chosen.classes)}
    targets = np.array([index[r["target"]] for r in picked], dtype=np.int64)
    return SplitData(ids, Examples(inputs_of(store, architecture, modality.encoder(chosen.encoder), ids), targets))


def inputs_of(store: ProjectStore, architecture: Architecture, encoder: Encoder, ids: Sequence[str]) -> NDArray[Any]:
    """`(n, …)` what the architecture reads of these samples: stored embeddings, computed where one is missing, or the content.

    Raises `LookupError` if there is no such sample.
    """
    if not architecture.embedded:
        return architecture.inputs(items_of(store, ids), encoder)
    found = table_of(store, encoder).take(ids, ["id", "vector"])
    if found.num_rows == len(ids):
        return as_vectors(found)
    known = set(found["id"].to_pylist())
    missing = [i for i in ids if i not in known]
    vectors = dict(zip(found["id"].to_pylist(), as_vectors(found), strict=True))
    vectors |= dict(zip(missing, encoder.encode(items_of(store, missing)), strict=True))
    return np.array([vectors[i] for i in ids], np.float32)


def items_of(store: ProjectStore, ids: Sequence[str]) -> list[Any]:
    """The decoded content of samples. Raises `LookupError` if one is missing."""
    found: list[Any] = store.table("samples").take(ids, ["text"])["text"].to_pylist()
    if len(found) != len(ids):
        raise LookupError(f"{len(ids) - len(found)} of {len(ids)} samples are no longer there")
    return found


def train_and_validation(data: Examples, classes: tuple[str, ...], share: float, seed: int) -> tuple[Examples, Examples]:
    """The training samples in two parts, each class in both. Raises `NotEnoughLabels`."""
    from sklearn.model_selection import train_test_split

    counts = np.bincount(data.targets, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            raise NotEnoughLabels(f"class {name!r} has {count} labelled training samples: at least 2 are needed to train")
    size = min(max(len(classes), round(share * len(data))), len(data) - len(classes))
    parts = train_test_split(np.arange(len(data)), test_size=size, stratify=data.targets, random_state=seed)
    train, validation = (set(part.tolist()) for part in parts)
    for index in range(len(classes)):  # a class with few samples can come out all on one side
        own = set(np.flatnonzero(data.targets == index).tolist())
        for side, other in ((train, validation), (validation, train)):
            if not own & side:
                side.add(min(own))
                other.remove(min(own))
    return data.take(np.array(sorted(train))), data.take(np.array(sorted(validation)))
