"""What can be set for the stage `labeling`."""

from typing import Literal

from pydantic import Field

from ml_assets.registry import Settings
from ml_assets.tasks import TaskField


class QueueSettings(Settings):
    """Which samples people are asked about, and how many at a time."""

    size: int = Field(default=100, ge=1, le=50_000)
    """How many tasks wait for people. The queue is filled up to this number whenever fewer than half of it are left, so that
    annotators never run dry and the choice of what to ask follows what is known by then."""
    total: int | None = Field(default=None, ge=1)
    """How many tasks are ever pushed, a budget for people's time. None: no bound."""
    strategy: Literal["diverse", "random", "uncertain"] = "diverse"
    """`diverse`: samples that stand for as many others as possible and are unlike what was asked before. `uncertain`: those of
    which the newest model is least sure, as far as there are predictions, then `diverse`. `random`: a plain random sample."""
    seed: int = 0
    """Of the clustering and of the random choice."""


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
