"""The torch module of `image_cnn`, and its augmentation of pictures."""

import math

import torch
from torch import nn
from torch.nn.functional import affine_grid, grid_sample


class ImageCNNModule(nn.Module):  # type: ignore[misc]
    """A network of three stages of two residual blocks, mean over the picture, Dropout, Linear.

    From `(batch, channels, size, size) uint8` to `(batch, outputs)` logits; normalizes the pixels itself. In training pictures
    are augmented by `moved` with `shift`, `rotation`, `zoom` and `mirror`.
    """

    def __init__(
        self,
        outputs: int,
        *,
        channels: int,
        width: int,
        dropout: float,
        shift: float,
        rotation: float,
        zoom: float,
        mirror: bool,
    ) -> None:
        super().__init__()
        self.moves = shift, rotation, zoom, mirror
        self.stages = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            *(Block(width, width, 1), Block(width, 2 * width, 2)),
            *(Block(2 * width, 2 * width, 1), Block(2 * width, 4 * width, 2)),
            Block(4 * width, 4 * width, 1),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, outputs))
        self.to(memory_format=torch.channels_last)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        pictures = batch.float() / 127.5 - 1
        if self.training:
            pictures = moved(pictures, *self.moves)
        features = self.stages(pictures.contiguous(memory_format=torch.channels_last))
        return self.head(features.mean((2, 3))).float()


class Block(nn.Module):  # type: ignore[misc]
    """A residual block of two convolutions: `(batch, before, h, w)` to `(batch, after, h / stride, w / stride)`."""

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

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inner = self.norms[0](self.first(inputs)).relu()
        return (self.norms[1](self.second(inner)) + self.past(inputs)).relu()


def moved(pictures: torch.Tensor, shift: float, rotation: float, zoom: float, mirror: bool) -> torch.Tensor:
    """Randomly shift, rotate, zoom and mirror `(batch, c, h, w)` pictures; beyond the edges, edge pixels are repeated."""
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
