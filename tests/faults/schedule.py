"""What is killed, in which step, when: drawn from a seed."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

VICTIMS: dict[str, dict[str, float]] = {
    "up": {"command": 3, "supervisor": 1, "label_studio": 1, "mlflow": 1, "endpoint": 1, "dagster": 1},
    "queue": {"command": 4, "label_studio": 2, "dagster": 1, "supervisor": 1},
    "annotators": {"command": 2, "label_studio": 2, "dagster": 1},
    "sensor": {"step": 5, "dagster": 2, "label_studio": 1},
    "train": {"command": 5, "mlflow": 2, "endpoint": 2, "worker": 1, "dagster": 1, "label_studio": 1, "supervisor": 1},
    "application": {"worker": 4, "endpoint": 2, "command": 2, "step": 1},
    "monitor": {
        "command": 5,
        "mlflow": 1,
        "endpoint": 2,
        "worker": 1,
        "dagster": 1,
        "label_studio": 2,
        "explorer": 1,
        "supervisor": 1,
    },
    "down": {"command": 3, "supervisor": 2, "endpoint": 1},
}
"""How often each victim is chosen in each step."""
WEIGHTS = {
    "up": 2,
    "queue": 2,
    "annotators": 1,
    "sensor": 2,
    "train": 5,
    "application": 2,
    "monitor": 4,
    "down": 1,
}
"""How often each step is chosen."""
ONLY_LARGE = ("dagster", "explorer", "step")
"""Victims that a small loop does not have."""
MOST = 3
"""Kills in one step of one loop."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL.

    Args:
        step: In which step of the loop.
        victim: `command`, `supervisor`, a server, `worker` (of the endpoint) or `step` (a run that a sensor started).
        after: Seconds after the beginning of the step.
        which: In [0, 1), which one of several processes.
    """

    step: str
    victim: str
    after: float
    which: float

    def __str__(self) -> str:
        return f"{self.step:<11} {self.victim:<12} after {self.after:5.1f} s"


def draw(seed: int, count: int, seconds: Mapping[str, float]) -> list[Kill]:
    """The kills of one loop, in the order of their steps; `seconds` is how long each step takes when nothing is killed."""
    chance = random.Random(seed)
    steps: list[str] = []
    while len(steps) < count:
        [step] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if step in seconds and (steps.count(step) < MOST or count > MOST * len(seconds)):
            steps.append(step)
    kills = []
    for step in sorted(steps, key=list(WEIGHTS).index):
        there = {victim: weight for victim, weight in VICTIMS[step].items() if "sensor" in seconds or victim not in ONLY_LARGE}
        [victim] = chance.choices(list(there), list(there.values()))
        kills.append(Kill(step, victim, chance.random() * seconds[step], chance.random()))
    return kills
