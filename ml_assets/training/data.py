"""The vectors and targets of a feature set."""

from dataclasses import dataclass

import numpy as np

from ml_assets.features.embeddings import table_of, vectors_of
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Encoder
from ml_assets.store import ProjectStore
from ml_assets.training.fit import Examples


class NotEnoughLabels(ValueError):
    """There is too little to train on; the message says of which class."""


@dataclass(frozen=True)
class SplitData:
    """The samples of one split of a feature set.

    Args:
        ids: `n` sample ids, sorted.
        examples: Their vectors and targets, in the same order.
    """

    ids: list[str]
    examples: Examples


def split_data(store: ProjectStore, chosen: FeatureSet, encoder: Encoder, split: str) -> SplitData:
    """The samples of the split, in the order of their ids."""
    picked = [r for r in chosen.rows.to_pylist() if r["split"] == split]
    ids = [r["id"] for r in picked]
    index = {name: i for i, name in enumerate(chosen.classes)}
    targets = np.array([index[r["target"]] for r in picked], dtype=np.int64)
    return SplitData(ids, Examples(vectors_of(table_of(store, encoder), ids), targets))


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
