"""A checkpoint as a training that was killed leaves it, and the training that finds it."""

import shutil
from pathlib import Path
from unittest import mock

import numpy as np

from ml_assets.modalities import Text
from ml_assets.state.digests import content_id
from ml_assets.tasks import SingleChoice
from ml_assets.training import fit as fitting
from ml_assets.training.architectures import MLP
from ml_assets.training.fit import Examples, fit

from . import project

FILE = f"optuna/{project.NAME}/0123456789abcdef.ckpt"
"""Relative to the home."""
CLASSES = ("one", "two")


def leave(path: Path) -> None:
    """Write a checkpoint in the middle of a training."""
    kept = path.with_name("kept.ckpt")

    def copy(epoch: int, values: dict[str, float]) -> None:
        if kept.exists():
            shutil.copyfile(kept, path)

    path.parent.mkdir(parents=True, exist_ok=True)
    with mock.patch.object(fitting, "CHECKPOINT_SECONDS", -1.0):
        _fit(kept, copy)


def train(checkpoint: Path | None) -> str:
    """A digest of the weights; the same whether or not the training went on from a checkpoint."""
    return _fit(checkpoint, None)


def _fit(checkpoint: Path | None, on_epoch: fitting.OnEpoch | None) -> str:
    inputs = np.random.default_rng(0).normal(size=(32, 384)).astype(np.float32)
    examples = Examples(inputs, [CLASSES[n % 2] for n in range(32)])
    task = SingleChoice(classes=CLASSES)
    network = fit(
        MLP(hidden=4, epochs=4, batch_size=16), Text().encoder("minilm"), examples, CLASSES, task, 0, None, on_epoch, checkpoint
    )
    return content_id(*(value.numpy().tobytes() for value in network.state_dict().values()))
