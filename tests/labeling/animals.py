"""A small labeling project for the tests: animals in texts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.labeling.settings import LabelingSettings, QueueSettings
from ml_assets.modalities import Text
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

AT = datetime(2026, 1, 1, tzinfo=UTC)
TASK = SingleChoice(classes=("cat", "dog", "bird"))
CONFIG = TASK.label_config(Text().label_studio_object(), "Which animal?")


def settings(**queue: Any) -> LabelingSettings:
    """Settings with this queue."""
    return LabelingSettings(task=TASK, question="Which animal?", queue=QueueSettings(**queue))


def vectors(ids: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings that follow from the ids."""
    return np.array([[int(i[-4:]) % 7, int(i[-4:]) % 11] for i in ids], np.float32).reshape(len(ids), 2)


def fill(store: ProjectStore, count: int, **columns: Any) -> list[str]:
    """Put `count` train samples into the store; their ids."""
    ids = [f"{columns.get('source', 's')}{i:04d}" for i in range(count)]
    row = {"source": "made", "split": "train", "split_by": "hash", "collected_at": AT} | columns
    store.table("samples").upsert(rows("samples", [row | {"id": i, "text": f"text of {i}"} for i in ids]))
    return ids
