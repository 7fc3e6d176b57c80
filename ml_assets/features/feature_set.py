"""A feature set: which samples of a dataset, which inputs, which classes."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from ml_assets.errors import Missing
from ml_assets.features.settings import FeatureSetSettings
from ml_assets.records import content_id, rows
from ml_assets.store import ProjectStore
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
        if (value := task.mapped(r["value"], targets)) is not None
    ]
    recipe = {"inputs": list(settings.inputs), "encoder": encoder, "classes": list(classes), "targets": targets}
    table = rows("feature_set", sorted(kept, key=lambda r: r["id"]))
    digest = content_id(tag, json.dumps(recipe, sort_keys=True))[:12]
    return FeatureSet(f"fs-{digest}", tag, encoder, classes, table, name, settings.inputs), recipe


def save(store: ProjectStore, made: Sequence[tuple[FeatureSet, dict[str, Any]]], at: datetime) -> None:
    """Write the rows of feature sets, each under its tag, and their recipes. From then on these are the current ones."""
    for chosen, _ in made:
        store.table("feature_set").replace(chosen.rows, chosen.id)
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
    store.table("feature_sets").upsert(rows("feature_sets", listed))


def current(store: ProjectStore) -> list[FeatureSet]:
    """The feature sets that were saved last, by name."""
    known = store.table("feature_sets").read(["id", "name", "at"]).to_pylist()
    newest = max((row["at"] for row in known), default=None)
    return [load(store, row["id"]) for row in sorted(known, key=lambda row: row["name"]) if row["at"] == newest]


def load(store: ProjectStore, feature_set: str) -> FeatureSet:
    """A feature set by its id. Raises `LookupError` if there is none."""
    found = store.table("feature_sets").take([feature_set]).to_pylist()
    if not found:
        raise Missing(f"there is no feature set {feature_set!r} in project {store.project!r}")
    recipe = json.loads(found[0]["recipe"])
    table = store.table("feature_set").read(tag=feature_set).sort_by("id")
    return FeatureSet(
        feature_set,
        found[0]["dataset"],
        recipe["encoder"],
        tuple(recipe["classes"]),
        table,
        found[0]["name"],
        tuple(recipe["inputs"]),
    )
