"""The options of the labeling stage."""

from typing import Literal

from pydantic import Field

from ml_assets.registry import Settings
from ml_assets.tasks import TaskField


class QueueSettings(Settings):
    """Which samples people label, and how many at a time."""

    size: int = Field(default=100, ge=1, le=50_000)
    """Number of tasks that wait for people. The queue is filled up to this number whenever fewer than half of it are left, so
    that annotators never run out of tasks and the choice reflects the labels known by then.
    """
    total: int | None = Field(default=None, ge=1)
    """Maximum number of tasks that are ever pushed, as a budget for people's time. None: no limit."""
    strategy: Literal["diverse", "random", "uncertain"] = "diverse"
    """`diverse`: samples that represent as many others as possible and differ from those asked before. `uncertain`: those that
    the newest model is least sure of, if there are predictions, then `diverse`. `random`: a plain random sample.
    """
    seed: int = 0
    """Random seed of the clustering and of the random choice."""


class LabelingSettings(Settings):
    """How the samples get their labels."""

    task: TaskField
    """What annotators are asked to do, with the classes."""
    question: str = Field(default="What is this?", min_length=1)
    """The sentence that annotators see above each sample."""
    queue: QueueSettings = QueueSettings()
    """What is pushed to Label Studio."""
    annotators: int = Field(default=1, ge=1, le=100)
    """How many people answer each task."""
    poll_seconds: int = Field(default=15, ge=5, le=3600)
    """How often the sensor asks Label Studio for changes, in seconds."""
