"""A feature set: which samples of a dataset, which inputs, which classes."""

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
    """What training needs to know, and where it stands.

    Args:
        id: `fs-<digest>`, the tag of its rows.
        dataset: Tag of the dataset it was made from.
        encoder: Name of the encoder of its vectors.
        classes: What the model tells apart, in order.
        rows: Table `feature_set`: `id`, `target`, `split`.
        name: Its name in the YAML; empty where there is only one.
        inputs: What of each sample models see: `content` is all of it.
    """

    id: str
    dataset: str
    encoder: str
    classes: tuple[str, ...]
    rows: pa.Table
    name: str = ""
    inputs: tuple[str, ...] = ("content",)

    def counts(self, split: str, task: Task) -> dict[str, int]:
        """Samples of the split in which each class occurs."""
        targets = [row["target"] for row in self.rows.to_pylist() if row["split"] == split]
        found = Counter(name for target in targets for name in task.classes_in(target))
        return {name: found[name] for name in self.classes}


def newest_dataset(tags: Sequence[str]) -> str:
    """The tag of the dataset that was made last. Raises `Missing` if there is none yet."""
    if not tags:
        raise Missing("there is no dataset yet: label some samples first")
    return tags[-1]


def choose(
    dataset: pa.Table, tag: str, settings: FeatureSetSettings, task: Task, encoder: str, name: str = ""
) -> tuple[FeatureSet, dict[str, Any]]:
    """The feature set of a dataset's rows, with its recipe. `encoder` is that of settings which name none."""
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
    """Name and encoder of each feature set with each of its classes, and how many samples of it train and test have."""
    found = []
    for chosen in made:
        train, test = chosen.counts("train", task), chosen.counts("test", task)
        found += [(chosen.name, chosen.encoder, name, train[name], test[name]) for name in chosen.classes]
    return found


def save(store: ProjectStore, made: Sequence[tuple[FeatureSet, dict[str, Any]]], at: datetime) -> None:
    """Write the rows of feature sets, each under its tag, and their recipes. From then on these are the current ones.

    Those that are there already are not written again; if they are the current ones, nothing is.
    """
    table = store.table("feature_set")
    known = set(table.tags())
    for number, (chosen, _) in enumerate(made, 1):
        if chosen.id not in known or number == len(made):  # the last one is how the table stands
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
    """The feature sets that were saved last, by name."""
    return [load(store, row["id"]) for row in sorted(_newest(store), key=lambda row: str(row["name"]))]


def _newest(store: ProjectStore) -> list[dict[str, Any]]:
    known = store.table("feature_sets").read(["id", "name", "at"]).to_pylist()
    newest = max((row["at"] for row in known), default=None)
    return [row for row in known if row["at"] == newest]


def targets_now(store: ProjectStore, feature_set: str, dataset: str, task: Task, split: str = "test") -> dict[str, str]:
    """What a model of this feature set should say of each sample of the split, as the dataset has it now.

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
    """A feature set by its id. Raises `LookupError` if there is none."""
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
    """The row of table `feature_sets`."""
    for row in store.table("feature_sets").take([feature_set]).to_pylist():
        return dict(row)
    raise Missing(f"there is no feature set {feature_set!r} in project {store.project!r}")
