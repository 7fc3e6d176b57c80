"""The architecture `detector`: one-stage object detection, trained from scratch (TTFNet: Liu et al. 2020, arXiv:1909.00700)."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.tasks import Predicted, Task
from ml_assets.tasks.metrics.average_precision import overlaps
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

MOST = 50
"""Maximum number of boxes per picture, before non-maximum suppression."""
SAME = 0.5
"""Intersection over union above which the less confident of two boxes of a class is dropped."""


class Detector(Architecture):
    """Compact anchor-free detector: a small residual network that predicts a heat map of centres per class, and boxes.

    Pictures are read at one size, whatever their shape; boxes are shares of their width and height. `k` classes have `k + 4`
    logits at each of `(size / 8)²` cells: the centres of each class, then the distances to the box's left, top, right and
    bottom edge, as logarithms of cells.
    """

    name_in_yaml: ClassVar[str] = "detector"
    tasks: ClassVar[tuple[str, ...]] = ("boxes",)
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    embedded: ClassVar[bool] = False
    mixed_precision: ClassVar[bool] = True
    predict_batch: ClassVar[int] = 64

    learning_rate: float = Field(3e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(24, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(16, ge=1)
    """Samples per optimisation step."""
    size: int = Field(128, ge=32, le=1024, multiple_of=16)
    """Width and height at which pictures are read, pixels."""
    channels: int = Field(3, ge=1, le=3)
    """1 reads pictures in grey, 3 in colour."""
    width: int = Field(32, ge=4, le=1024)
    """Channels after the first convolution; later layers have up to four times as many."""
    moved: float = Field(0.2, ge=0, le=0.5)
    """Maximum random shift of pictures in training, as a share of their size, together with a random zoom; 0: none."""
    threshold: float = Field(0.1, ge=0, le=1)
    """Minimum confidence of a predicted box. Lower values raise the average precision a little, but add false boxes."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.uint8]:
        """`(n, channels, size, size) uint8` pictures."""
        from ml_assets.modalities.files.image import arrays

        return arrays(items, self.size, self.channels)

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[np.float32]:
        """`(n, m, 5)` boxes: class, centre (x, y), width, height as shares of the picture; padded with -1."""
        index = {name: i for i, name in enumerate(classes)}
        listed = [json.loads(value) for value in values]
        found = np.full((len(values), max([1, *map(len, listed)]), 5), -1, np.float32)
        for row, boxes in zip(found, listed, strict=True):
            for place, box in zip(row, boxes, strict=False):
                x, y, width, height = box["x"], box["y"], box["width"], box["height"]
                place[:] = index[box["label"]], x + width / 2, y + height / 2, width, height
        return found

    def augment(self, inputs: "torch.Tensor", targets: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Randomly zoom, move and recolour the pictures, and transform the boxes accordingly."""
        from ml_assets.training.architectures.networks.detector import coloured, moved

        pictures, boxes = moved(inputs.float() / 127.5 - 1, targets, self.moved)
        return (coloured(pictures) + 1) * 127.5, boxes

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Five convolutional stages down to 1/16 of the size, merged with the stage at 1/8, and a head there."""
        from ml_assets.training.architectures.networks.detector import DetectorModule

        return DetectorModule(outputs, channels=self.channels, width=self.width)

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Focal loss of the centres (Law & Deng 2018, eq. 1) plus generalized IoU loss (Rezatofighi et al. 2019)."""
        from ml_assets.training.architectures.networks.detector import detection_loss

        return detection_loss(logits, targets)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """`(batch,)` share of objects with a class probability above 0.5 at the centre and a box IoU of at least 0.5."""
        from ml_assets.training.architectures.networks.detector import detection_recall

        return detection_recall(logits, targets)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """The boxes at the peaks of each class's heat map above `threshold`, after non-maximum suppression.

        If the task needs at least one box, the most confident is returned in any case. The confidence is that of the least
        confident box; without boxes, 1 minus the highest probability of any. The score of a class is its highest probability.
        """
        import torch

        from ml_assets.training.architectures.networks.detector import corners

        heat = torch.from_numpy(logits[:, :-4]).sigmoid()
        peaks = heat * (torch.nn.functional.max_pool2d(heat, 3, 1, 1) == heat)
        edges = corners(torch.from_numpy(logits[:, -4:])).clamp(0, 1).flatten(2).transpose(1, 2).numpy()
        chances, places = peaks.flatten(1).topk(min(MOST, peaks[0].numel()))
        cells = heat.shape[2] * heat.shape[3]
        best = heat.flatten(2).amax(2).numpy()
        confidence = 1 - best.max(1)
        values = []
        for i, (row, where) in enumerate(zip(chances.numpy(), places.numpy(), strict=True)):
            at = edges[i, where % cells]
            boxes, kinds = np.concatenate([at[:, :2], at[:, 2:] - at[:, :2]], 1), where // cells
            kept = _kept(boxes, kinds, row, self.threshold)
            if not kept and not task.may_be_empty:
                kept = _kept(boxes, kinds, row, 0)[:1]
            if kept:
                confidence[i] = row[kept].min()
            values.append(task.parse([_as_box(classes[kinds[j]], boxes[j], row[j]) for j in kept]))
        return Predicted(values, confidence.astype(np.float32), best)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample learning rate, width and weight decay."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 6e-3, log=True),
                "width": trial.suggest_categorical("width", [24, 32, 48]),
                "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1e-1, log=True),
            }
        )


def _kept(boxes: NDArray[Any], kinds: NDArray[Any], chances: NDArray[Any], threshold: float) -> list[int]:
    """Indices of the boxes kept by threshold and non-maximum suppression, in the given order of descending probability."""
    kept: list[int] = []
    found = overlaps(boxes, boxes)
    for i in np.flatnonzero((chances >= max(threshold, 1e-6)) & (boxes[:, 2:].min(1) > 1e-4)).tolist():
        if all(kinds[i] != kinds[j] or found[i, j] <= SAME for j in kept):
            kept.append(i)
    return kept


def _as_box(name: str, box: NDArray[Any], chance: float) -> dict[str, Any]:
    x, y, width, height = map(float, box)
    return {"label": name, "x": x, "y": y, "width": width, "height": height, "confidence": min(float(chance), 1.0)}
