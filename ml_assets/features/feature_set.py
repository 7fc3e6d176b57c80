"""Builds, stores and loads feature sets: samples of a dataset with the inputs and classes for one model."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from ml_assets.errors import Missing
from ml_assets.features.settings import FeatureSetSettings
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task


@dataclass(frozen=True)
class FeatureSet:
    """A feature set: the samples, inputs and classes that a model is trained and tested on.

    Args:
        id: `fs-<digest>`, the tag of its rows.
        dataset: Tag of the dataset it was made from.
        encoder: Name of the encoder of its vectors.
        classes: The classes that the model distinguishes, in order.
        rows: Rows of table `feature_set`: `id`, `target`, `split`.
        name: Its name in the YAML; empty if it is the only one.
        inputs: Parts of each sample that the model reads; `content` is all of it.
    """

    id: str
    dataset: str
    encoder: str
    classes: tuple[str, ...]
    rows: pa.Table
    name: str = ""
    inputs: tuple[str, ...] = ("content",)

    def counts(self, split: str, task: Task) -> dict[str, int]:
        """Number of samples in the split that contain each class, by class."""
        targets = [row["target"] for row in self.rows.to_pylist() if row["split"] == split]
        found = Counter(name for target in targets for name in task.classes_in(target))
        return {name: found[name] for name in self.classes}


def newest_dataset(tags: Sequence[str]) -> str:
    """The tag of the newest dataset. Raises `Missing` if there is none yet."""
    if not tags:
        raise Missing("there is no dataset yet: label some samples first")
    return tags[-1]


def choose(
    dataset: pa.Table, tag: str, settings: FeatureSetSettings, task: Task, encoder: str, name: str = ""
) -> tuple[FeatureSet, dict[str, Any]]:
    """Build the feature set of a dataset, and its recipe. `encoder` is the default where the settings name none."""
    targets = settings.targets(task.classes)
    classes = tuple(dict.fromkeys(targets.values()))
    encoder = settings.encoder or encoder
    kept = [
        {"id": r["id"], "target": value, "split": r["split"]}
        for r in dataset.to_pylist()
        if (value := task.relabel(r["value"], targets)) is not None
    ]
    recipe = {"inputs": list(settings.inputs), "encoder": encoder, "classes": list(classes), "targets": targets}
    table = rows("feature_set", sorted(kept, key=lambda r: r["id"]))
    digest = content_id(tag, json.dumps(recipe, sort_keys=True))[:12]
    return FeatureSet(f"fs-{digest}", tag, encoder, classes, table, name, settings.inputs), recipe


def class_counts(made: Iterable[FeatureSet], task: Task) -> list[tuple[str, str, str, int, int]]:
    """One row per feature set and class: name, encoder, class, and the number of train and test samples with it."""
    found = []
    for chosen in made:
        train, test = chosen.counts("train", task), chosen.counts("test", task)
        found += [(chosen.name, chosen.encoder, name, train[name], test[name]) for name in chosen.classes]
    return found


def save(store: ProjectStore, made: Sequence[tuple[FeatureSet, dict[str, Any]]], at: datetime) -> None:
    """Store feature sets, each under its tag, with their recipes; they become the current ones.

    Those that are stored already are not written again; if they are the current ones, nothing is.
    """
    table = store.table("feature_set")
    known = set(table.tags())
    for number, (chosen, _) in enumerate(made, 1):
        if chosen.id not in known or number == len(made):  # the last one must be the table's current version
            table.replace(chosen.rows, chosen.id)
    listed = [
        {
            "id": chosen.id,
            "name": chosen.name,
            "dataset": chosen.dataset,
            "recipe": json.dumps(recipe),
            "samples": chosen.rows.num_rows,
            "at": at,
        }
        for chosen, recipe in made
    ]
    same = {(row["id"], row["name"]) for row in _newest(store)} == {(row["id"], row["name"]) for row in listed}
    store.table("feature_sets").upsert(rows("feature_sets", listed), ignore=["at"] if same else [])


def current(store: ProjectStore) -> list[FeatureSet]:
    """The current feature sets, which were saved last, sorted by name."""
    return [load(store, row["id"]) for row in sorted(_newest(store), key=lambda row: str(row["name"]))]


def _newest(store: ProjectStore) -> list[dict[str, Any]]:
    known = store.table("feature_sets").read(["id", "name", "at"]).to_pylist()
    newest = max((row["at"] for row in known), default=None)
    return [row for row in known if row["at"] == newest]


def targets_now(store: ProjectStore, feature_set: str, dataset: str, task: Task, split: str = "test") -> dict[str, str]:
    """Target of each sample of the split by sample id, in this feature set's classes, from a version of the dataset.

    Raises `LookupError` if there is no such feature set.
    """
    targets = json.loads(_recipe(store, feature_set)["recipe"])["targets"]
    labelled = store.table("dataset").read(["id", "value", "split"], tag=dataset).to_pylist()
    return {
        row["id"]: str(value)
        for row in labelled
        if row["split"] == split and (value := task.relabel(row["value"], targets)) is not None
    }


def load(store: ProjectStore, feature_set: str) -> FeatureSet:
    """Load a feature set by its id. Raises `LookupError` if there is none."""
    found = _recipe(store, feature_set)
    recipe = json.loads(found["recipe"])
    table = store.table("feature_set").read(tag=feature_set).sort_by("id")
    return FeatureSet(
        feature_set,
        found["dataset"],
        recipe["encoder"],
        tuple(recipe["classes"]),
        table,
        found["name"],
        tuple(recipe["inputs"]),
    )


def _recipe(store: ProjectStore, feature_set: str) -> dict[str, Any]:
    """The row of table `feature_sets` with this id. Raises `Missing`."""
    for row in store.table("feature_sets").take([feature_set]).to_pylist():
        return dict(row)
    raise Missing(f"there is no feature set {feature_set!r} in project {store.project!r}")
