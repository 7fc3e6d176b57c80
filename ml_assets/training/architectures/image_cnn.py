"""A small residual network for pictures (He et al. 2016, arXiv:1512.03385), learnt from nothing."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.modalities.image import arrays
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn


class ImageCNN(Architecture):
    """Convolutional network for small or simple pictures. For photographs with few labels take `mlp` or `fine_tune`."""

    name_in_yaml: ClassVar[str] = "image_cnn"
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    embedded: ClassVar[bool] = False
    predict_batch: ClassVar[int] = 256

    learning_rate: float = Field(3e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(5e-2, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(30, ge=1, le=10_000)
    """Passes over the training samples."""
    size: int = Field(32, ge=8, le=512)
    """Pixels of each side to which pictures are brought."""
    channels: Literal[1, 3] = 3
    """3 for colours, 1 for grey."""
    width: int = Field(24, ge=1, le=1024)
    """Filters of the first stage; the second has twice, the third four times as many."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of features that are dropped before the last layer in training."""
    shift: float = Field(0.08, ge=0, le=1)
    """How far pictures are moved in training, at most, as a share of their size."""
    rotation: float = Field(12.0, ge=0, le=180)
    """How far they are turned, at most, degrees."""
    zoom: float = Field(0.12, ge=0, lt=1)
    """How much they are made larger or smaller, at most, as a share."""
    mirror: bool = False
    """Whether half of them are mirrored; for things whose left and right mean nothing."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.uint8]:
        """`(n, channels, size, size) uint8`."""
        return arrays(items, self.size, self.channels)

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Three stages of two residual blocks, mean over the picture, Dropout, Linear. It normalises the pixels itself."""
        import torch
        from torch import nn

        options = self

        class Block(nn.Module):  # type: ignore[misc]
            def __init__(self, before: int, after: int, stride: int) -> None:
                super().__init__()
                self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
                self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
                self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
                self.past = (
                    nn.Identity()
                    if stride == 1 and before == after
                    else nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(before, after, 1, bias=False))
                )

            def forward(self, inputs: "torch.Tensor") -> "torch.Tensor":
                inner = self.norms[0](self.first(inputs)).relu()
                return (self.norms[1](self.second(inner)) + self.past(inputs)).relu()

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                width = options.width
                self.stages = nn.Sequential(
                    nn.Conv2d(options.channels, width, 3, 1, 1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                    *(Block(width, width, 1), Block(width, 2 * width, 2)),
                    *(Block(2 * width, 2 * width, 1), Block(2 * width, 4 * width, 2)),
                    Block(4 * width, 4 * width, 1),
                )
                self.head = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(4 * width, outputs))
                self.to(memory_format=torch.channels_last)

            def forward(self, batch: "torch.Tensor") -> "torch.Tensor":
                pictures = batch.float() / 127.5 - 1
                if self.training:
                    pictures = moved(pictures, options.shift, options.rotation, options.zoom, options.mirror)
                features = self.stages(pictures.contiguous(memory_format=torch.channels_last))
                logits: torch.Tensor = self.head(features.mean((2, 3)))
                return logits.float()

        return Network()

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Learning rate, dropout, weight decay, and how far pictures are turned."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 6e-3, log=True),
                "weight_decay": trial.suggest_float("weight_decay", 1e-2, 2e-1, log=True),
                "dropout": trial.suggest_float("dropout", 0.0, 0.4),
                "rotation": trial.suggest_float("rotation", 0.0, 20.0),
            }
        )


def moved(pictures: "torch.Tensor", shift: float, rotation: float, zoom: float, mirror: bool) -> "torch.Tensor":
    """`(batch, c, h, w)` pictures, each moved, turned and zoomed at random; their edges go on outside."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    n = len(pictures)
    angle, scale, across, down = (2 * torch.rand(4, n) - 1) * torch.tensor(
        [[math.radians(rotation)], [zoom], [2 * shift], [2 * shift]]
    )
    scale = 1 + scale
    side = 1 - 2 * (torch.rand(n) < 0.5).float() if mirror else torch.ones(n)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    moves = torch.stack([torch.stack([cos * side, -sin, across], 1), torch.stack([sin * side, cos, down], 1)], 1)
    grid = affine_grid(moves, list(pictures.shape), align_corners=False)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)
