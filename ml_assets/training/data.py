"""Loads a network's inputs and targets for the samples of a feature set, and splits off validation samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.errors import Missing, MLAssetsError
from ml_assets.features import near_duplicates
from ml_assets.features.embeddings import as_vectors, table_of
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Encoder, Modality
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.training.architectures import Architecture
from ml_assets.training.fit import Examples


class NotEnoughLabels(MLAssetsError, ValueError):
    """Raised when there are too few labels to train on; the message says of which class."""


@dataclass(frozen=True)
class SplitData:
    """The samples of one split of a feature set.

    Args:
        ids: `n` sample ids, sorted.
        examples: Their inputs and targets, in the same order.
    """

    ids: list[str]
    examples: Examples


def split_data(
    store: ProjectStore, chosen: FeatureSet, modality: Modality, task: Task, architecture: Architecture, split: str
) -> SplitData:
    """Load the samples of a split with the inputs that the architecture reads, sorted by id."""
    picked = [r for r in chosen.rows.to_pylist() if r["split"] == split]
    ids = [r["id"] for r in picked]
    encoder = modality.only(chosen.inputs).encoder(chosen.encoder)
    items = items_of(store, modality, ids) if task.reads_items else []
    targets = [r["target"] for r in picked]
    groups = _groups(store, ids)
    if split == "train":  # only the training split is divided further
        near = near_duplicates.groups(near_duplicates.contents(store, modality, encoder.whole(), ids), targets)
        if groups or len(set(near.tolist())) < len(ids):
            groups = joined(groups or ids, near.tolist())
    return SplitData(ids, Examples(inputs_of(store, architecture, modality, encoder, ids), targets, items, groups))


def _groups(store: ProjectStore, ids: Sequence[str]) -> list[str]:
    """The group of each sample, or its id if it has none; an empty list if no sample has a group."""
    known = store.table("samples").take(ids, ["id", "group"]).to_pydict()
    groups = dict(zip(known["id"], known["group"], strict=True))
    return [groups.get(i) or i for i in ids] if any(groups.values()) else []


def joined(groups: Sequence[str], near: Sequence[int]) -> list[str]:
    """The group of each sample, with groups merged that contain near duplicates of each other, under the first one's name."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, given = np.unique(np.array(groups, object), return_inverse=True)
    _, other = np.unique(near, return_inverse=True)
    n = len(names) + len(near)
    links = coo_array((np.ones(len(near), bool), (given, other + len(names))), (n, n))
    label = connected_components(links, directed=False)[1][: len(names)]
    first: dict[int, str] = {}
    for name, part in zip(names, label, strict=True):
        first.setdefault(int(part), str(name))
    return [first[int(label[i])] for i in given]


def inputs_of(
    store: ProjectStore, architecture: Architecture, modality: Modality, encoder: Encoder, ids: Sequence[str]
) -> NDArray[Any]:
    """`(n, …)` inputs of the architecture for these samples: embeddings (stored, or computed if missing) or from the content.

    Raises `LookupError` if a sample does not exist.
    """
    if not architecture.embedded:
        return architecture.inputs(items_of(store, modality, ids), encoder)
    found = table_of(store, encoder).take(ids, ["id", "vector"])
    if found.num_rows == len(ids):
        return encoder.of_stored(as_vectors(found))
    known = set(found["id"].to_pylist())
    missing = [i for i in ids if i not in known]
    vectors = dict(zip(found["id"].to_pylist(), encoder.of_stored(as_vectors(found)), strict=True))
    vectors |= dict(zip(missing, encoder.encode(items_of(store, modality, missing)), strict=True))
    return np.array([vectors[i] for i in ids], np.float32)


def items_of(store: ProjectStore, modality: Modality, ids: Sequence[str]) -> list[Any]:
    """The items of samples. Raises `LookupError` if one is missing."""
    found: list[Any] = store.table("samples").take(ids, [modality.column])[modality.column].to_pylist()
    if len(found) != len(ids):
        raise Missing(f"{len(ids) - len(found)} of {len(ids)} samples are no longer there")
    return found


def train_and_validation(
    data: Examples, classes: tuple[str, ...], task: Task, share: float, seed: int
) -> tuple[Examples, Examples]:
    """Split the training samples into training and validation samples, with each class in both. Raises `NotEnoughLabels`.

    Samples of one group are never on both sides: a network that has seen the speaker, the document or a near duplicate would
    look better than it is on new ones. A class with one group only is then in the training samples only.
    """
    from sklearn.model_selection import train_test_split

    within = [task.classes_in(value) for value in data.values]
    members = {name: {i for i, found in enumerate(within) if name in found} for name in classes}
    for name, own in members.items():
        if len(own) < 2:
            raise NotEnoughLabels(f"class {name!r} has {len(own)} labelled training samples: at least 2 are needed to train")
    if len(set(data.groups)) > 1:
        return _by_group(data, [classes.index(found[0]) if found else len(classes) for found in within], share, seed)
    size = min(max(len(classes), round(share * len(data))), len(data) - len(classes))
    # values with several classes are too diverse to stratify
    strata = [classes.index(found[0]) for found in within] if all(len(found) == 1 for found in within) else None
    parts = train_test_split(np.arange(len(data)), test_size=size, stratify=strata, random_state=seed)
    train, validation = (set(part.tolist()) for part in parts)
    for own in members.values():  # a class with few samples can come out all on one side
        for side, other in ((train, validation), (validation, train)):
            if not own & side:
                side.add(min(own))
                other.remove(min(own))
    return data.take(np.array(sorted(train))), data.take(np.array(sorted(validation)))


def _by_group(data: Examples, strata: Sequence[int], share: float, seed: int) -> tuple[Examples, Examples]:
    """Split the samples by whole groups, with about this share of them in the second part.

    Chosen is the fold of a stratified group split whose rest holds the most classes, then that itself holds the most, then with
    the nearest size. For a class only in the first part, its smallest suitable group moves, if it has two.
    """
    kinds = np.asarray(strata)
    parts = folds(strata, data.groups, max(2, round(1 / share)), seed)
    if not parts:
        raise NotEnoughLabels("no class has two labelled training samples that stand for it: label more to train")

    def fitness(part: tuple[NDArray[Any], NDArray[Any]]) -> tuple[float, ...]:
        train, validation = part
        return -len(set(kinds[train])), -len(set(kinds[validation])), abs(len(validation) - share * len(kinds))

    validation = min(parts, key=fitness)[1]
    held, names = np.isin(np.arange(len(kinds)), validation), np.asarray(data.groups)
    for kind in sorted(set(kinds) - set(kinds[held])):
        sizes = {name: int((names == name).sum()) for name in np.unique(names[kinds == kind]).tolist()}
        for name in sorted(sizes, key=lambda name: (sizes[name], name)):
            moved = held | (names == name)
            if sizes[name] <= share * len(kinds) and set(kinds[~moved]) == set(kinds[~held]):
                held = moved
                break
    return data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held))


def folds(strata: Sequence[int], groups: Sequence[str], count: int, seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Positions of training and held-out samples for each of at most `count` folds, stratified, with groups kept together.

    Each sample is held out once; each stratum is spread over the folds as evenly as groups allow. Empty if there is only one
    group, or only one sample of each stratum.
    """
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kinds = np.asarray(strata, np.int64)
    grouped = len(set(groups)) > 1
    # scikit-learn refuses more folds than the largest stratum has samples
    count = min(count, int(np.bincount(kinds).max(initial=0)), len(set(groups)) if groups else len(kinds))
    if count < 2:
        return []
    divide = (StratifiedGroupKFold if grouped else StratifiedKFold)(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # a rare class is then only in some of the folds
        parts = divide.split(kinds, kinds, list(groups) if grouped else None)
        return [(train, held) for train, held in parts if len(train) and len(held)]
