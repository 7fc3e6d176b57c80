"""A small project with three topics whose embeddings lie around three corners."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import as_rows, table_of
from ml_assets.features.feature_set import FeatureSet
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Text
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice
from ml_assets.training.architectures import MLP
from ml_assets.training.fit import Examples
from ml_assets.training.settings import TrainingSettings

PROJECT = "topics"
AT = datetime(2026, 3, 9, tzinfo=UTC)
CLASSES = ("art", "law", "sport")
TASK = SingleChoice(classes=CLASSES)
QUICK = MLP(epochs=15, hidden=32, learning_rate=1e-2, dropout=0.1)
SETTINGS = TrainingSettings(architecture=QUICK, trials=3, minimum={"macro_f1": 0.5})


def vectors(targets: Sequence[int], noise: float = 0.5, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    made = np.eye(len(CLASSES), 384, dtype=np.float32)[list(targets)]
    made += generator.normal(0, noise, made.shape).astype(np.float32) * np.array([1] * 8 + [0.01] * 376, np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def examples(n: int = 60, noise: float = 0.5, seed: int = 0) -> Examples:
    targets = [i % len(CLASSES) for i in range(n)]
    return Examples(vectors(targets, noise, seed), [CLASSES[t] for t in targets])


def fill(store: ProjectStore, train: int = 60, test: int = 30, noise: float = 0.5) -> FeatureSet:
    """Samples with embeddings, a dataset and its feature set."""
    listed = [
        {"id": content_id("text", f"{split} {n}"), "text": f"{CLASSES[n % 3]} {split} {n}", "split": split,
         "value": CLASSES[n % 3]}
        for split, count in (("train", train), ("test", test))
        for n in range(count)
    ]  # fmt: skip
    store.table("samples").upsert(rows("samples", [{k: row[k] for k in ("id", "text", "split")} for row in listed]))
    encoder = Text().encoder("minilm")
    made = vectors([CLASSES.index(row["value"]) for row in listed], noise)
    table_of(store, encoder).insert(as_rows([row["id"] for row in listed], made))
    dataset = rows("dataset", [{k: row[k] for k in ("id", "value", "split")} for row in listed])
    store.table("dataset").replace(dataset, "ds-1")
    chosen, recipe = sets.choose(dataset, "ds-1", FeaturesSettings(), TASK, "minilm")
    sets.save(store, [(chosen, recipe)], AT)
    return chosen
