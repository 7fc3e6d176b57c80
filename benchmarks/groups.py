"""Whether the candidate that is chosen is the one that is best on new groups, over seeds.

Sounds of machines, made here: each class is a pitch, each group a place with a noise of its own, and in one place most
machines are of one class, as where each is recorded beside its own kind. Two encoders of the same sounds are
candidates: `colour`, the whole spectrum, which tells the places and so most of the classes in them, and `pitch`, by how
much each band lies above its neighbours. Each is tuned by the project's own study, and the one with the higher
validation score is chosen. What is best on new groups is measured on sounds of other places, in which each class is as
frequent. Beside it, the same with a validation split that knows no groups.

    python benchmarks/groups.py [--seeds 5]
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ml_assets.modalities import Encoder
from ml_assets.tasks import SingleChoice
from ml_assets.training.architectures import MLP
from ml_assets.training.fit import Examples, fit, predict
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import tune

CLASSES = ("fan", "pump", "saw", "drill")
TASK = SingleChoice(classes=CLASSES)
PLACES, SOUNDS = 24, 25
RATE, LENGTH = 8000, 4096
BANDS = 64


class Colour(Encoder):
    """The whole spectrum, in decibels."""

    name: str = "colour"
    dimensions: int = BANDS

    def encode(self, items: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """`(n, bands)`: the mean power of each band."""
        power = np.square(np.abs(np.fft.rfft(np.stack(items) * np.hanning(LENGTH), axis=1)[:, 1:]))
        return np.asarray(np.log10(power.reshape(len(items), BANDS, -1).mean(2)), np.float32)


class Pitch(Colour):
    """By how much each band lies above its neighbours."""

    name: str = "pitch"

    def encode(self, items: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """`(n, bands)`: the powers without the median of nine neighbours."""
        found = super().encode(items)
        around = np.lib.stride_tricks.sliding_window_view(np.pad(found, ((0, 0), (4, 4)), "edge"), 9, axis=1)
        return np.asarray(found - np.median(around, axis=2), np.float32)


def sounds(places: int, seed: int, mixed: bool) -> tuple[list[NDArray[np.float32]], list[str], list[str]]:
    """Sounds, their classes and their places; `mixed` places hold all classes alike."""
    rng, found, values, groups = np.random.default_rng(seed), [], [], []
    for place in range(places):
        bend = sum(rng.normal() * np.cos(np.pi * k * np.linspace(0, 1, LENGTH // 2)) for k in (1, 2, 3))
        colour = np.exp(0.7 * bend)
        own = place % len(CLASSES)
        for _ in range(SOUNDS):
            kind = int(rng.integers(len(CLASSES))) if mixed or rng.random() < 0.1 else own
            noise = np.fft.irfft(np.concatenate([[0], colour]) * np.fft.rfft(rng.normal(size=LENGTH)), LENGTH)
            time, pitch = np.arange(LENGTH) / RATE, (500, 1100, 1900, 2900)[kind] * rng.uniform(0.93, 1.07)
            tone = np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6)) * rng.uniform(0.02, 0.2)
            found.append(np.asarray(noise / noise.std() + tone, np.float32))
            values.append(CLASSES[kind])
            groups.append(f"place {place}")
    return found, values, groups


def main() -> None:
    """Print the table of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    encoders = (Colour(), Pitch())
    head = ["seed", "candidate", "accuracy on new groups", "validation by groups", "validation without"]
    table = Table(*head, "chosen by groups", "without", title=f"{PLACES} places with {SOUNDS} sounds each")
    right = {True: 0, False: 0}
    with tempfile.TemporaryDirectory() as scratch:
        tracker = Tracker("groups", uri=f"sqlite:///{scratch}/mlflow.db")
        for seed in range(seeds):
            known, values, groups = sounds(PLACES, seed, mixed=False)
            new, answers, _ = sounds(PLACES, seed + 1000, mixed=True)
            options = TrainingSettings(architecture=MLP(epochs=40, hidden=64), trials=2, seed=seed)
            score: dict[bool, list[float]] = {True: [], False: []}
            reached = []
            for encoder in encoders:
                data = Examples(encoder.encode(known), values, groups=groups)
                for by_group in score:
                    examples = data if by_group else replace(data, groups=())
                    name, folder = f"{encoder.name}-{seed}-{by_group}", Path(scratch) / "optuna"
                    study = tune(
                        name, examples, encoder, CLASSES, TASK, options.architecture, options, tracker, {}, folder
                    )  # fmt: skip
                    score[by_group].append(study.score)
                network = fit(options.architecture, encoder, data, CLASSES, TASK, seed)
                guesses = predict(options.architecture, network, encoder.encode(new), CLASSES, TASK).labels
                reached.append(float(np.mean([a == b for a, b in zip(answers, guesses, strict=True)])))
            best = int(np.argmax(reached))
            chosen = {by_group: int(np.argmax(found)) for by_group, found in score.items()}
            for i, encoder in enumerate(encoders):
                marks = ["✓" if chosen[by_group] == i else "" for by_group in score]
                figures = (f"{value:.3f}" for value in (reached[i], score[True][i], score[False][i]))
                table.add_row(str(seed) if i == 0 else "", encoder.name, *figures, *marks)
            table.add_section()
            for by_group in right:
                right[by_group] += chosen[by_group] == best
    Console().print(table)
    print(f"the best on new groups was chosen in {right[True]} of {seeds} seeds; without groups in {right[False]}")


if __name__ == "__main__":
    main()
