"""One stage from the picture to its boxes, learnt from scratch (TTFNet: Liu et al. 2020, arXiv:1909.00700)."""

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

STRIDE = 8
MOST = 50
"""Boxes of a picture, before those that say the same are dropped."""
SAME = 0.5
"""Boxes of a class that overlap more than this say the same."""
SPREAD = 0.54 / 6
"""Standard deviation of a target's hill, as a share of its box (TTFNet, §3.2)."""
VISIBLE = 0.6
"""Share of a box that must be left for its object to be learnt, where a picture was moved."""
NARROWEST = 0.4
"""The least standard deviation, in cells: of boxes that are hardly larger than a cell."""


class Detector(Architecture):
    """Compact anchor-free detector: a small residual network, a map of where each class has its centres, a box at each place.

    Pictures are read at one size, whatever their shape; boxes are shares of their width and height. `k` classes have `k + 4`
    logits at each of `(size / 8)²` cells: the centres of each class, then the distances to the box's left, top, right and
    bottom edge, as logarithms of cells.
    """

    name_in_yaml: ClassVar[str] = "detector"
    tasks: ClassVar[tuple[str, ...]] = ("boxes",)
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    embedded: ClassVar[bool] = False
    half: ClassVar[bool] = True
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
    """Channels behind the first convolution; later layers have up to four times as many."""
    moved: float = Field(0.2, ge=0, le=0.5)
    """How far pictures are moved while it learns, as a share of their size, and brought nearer or farther; 0: not at all."""
    threshold: float = Field(0.1, ge=0, le=1)
    """Least confidence of a box that is told. Lower ones raise the average precision a little, and give applications noise."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.uint8]:
        """`(n, channels, size, size) uint8` pictures."""
        from ml_assets.modalities.files.image import arrays

        return arrays(items, self.size, self.channels)

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[np.float32]:
        """`(n, m, 5)` boxes: class, centre (x, y), width, height as shares of the picture; -1 behind the last."""
        index = {name: i for i, name in enumerate(classes)}
        listed = [json.loads(value) for value in values]
        found = np.full((len(values), max([1, *map(len, listed)]), 5), -1, np.float32)
        for row, boxes in zip(found, listed, strict=True):
            for place, box in zip(row, boxes, strict=False):
                x, y, width, height = box["x"], box["y"], box["width"], box["height"]
                place[:] = index[box["label"]], x + width / 2, y + height / 2, width, height
        return found

    def varied(self, inputs: "torch.Tensor", targets: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Pictures nearer or farther, moved, in other colours, and the boxes where their objects are then."""
        pictures, boxes = _moved(inputs.float() / 127.5 - 1, targets, self.moved)
        return (_coloured(pictures) + 1) * 127.5, boxes

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Five convolutional stages down to a sixteenth of the size, joined with the one at an eighth, and a head there."""
        return _network(self.channels, self.width, outputs)

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Focal loss of the centres (Law & Deng 2018, eq. 1) and generalised IoU (Rezatofighi et al. 2019) around them."""
        import torch
        from torch.nn.functional import logsigmoid

        heat, boxes = logits[:, :-4], _corners(logits[:, -4:])
        hills, present = _hills(targets, *logits.shape[2:])  # (b, m, h, w), (b, m)
        kind = torch.nn.functional.one_hot(targets[:, :, 0].long().clamp(min=0), heat.shape[1]).to(heat.dtype)
        wanted = (hills.unsqueeze(2) * kind[:, :, :, None, None]).amax(1)
        chance = heat.sigmoid()
        hit = (1 - chance) ** 2 * logsigmoid(heat) * (wanted == 1)
        miss = (1 - wanted) ** 4 * chance**2 * logsigmoid(-heat)
        centres = -(hit + miss).sum() / present.sum().clamp(min=1)
        weight, owner = hills.max(1)  # each cell tells the box of the object on whose hill it stands highest
        weight = weight * (weight > 0.05)
        own = targets[:, :, 1:].gather(1, owner.flatten(1).unsqueeze(2).expand(-1, -1, 4))
        own = own.transpose(1, 2).unflatten(2, owner.shape[1:])
        edges = torch.cat([own[:, :2] - own[:, 2:] / 2, own[:, :2] + own[:, 2:] / 2], 1)
        distance = 1 - _generalised_iou(boxes, edges)
        return centres + 2 * (distance * weight).sum() / weight.sum().clamp(min=1)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Share of objects at whose centre their class has a chance above one half, and the box overlaps by one half."""
        import torch

        boxes, (height, width) = _corners(logits[:, -4:]), logits.shape[2:]
        present = targets[:, :, 0] >= 0
        x = (targets[:, :, 1] * width).long().clamp(0, width - 1)
        y = (targets[:, :, 2] * height).long().clamp(0, height - 1)
        cell = (y * width + x).unsqueeze(1)
        heat = logits[:, :-4].flatten(2)
        there = heat.gather(2, cell.expand(-1, heat.shape[1], -1))
        own = boxes.flatten(2).gather(2, cell.expand(-1, 4, -1))
        centre, size = targets[:, :, 1:3].transpose(1, 2), targets[:, :, 3:].transpose(1, 2)
        edges = torch.cat([centre - size / 2, centre + size / 2], 1)
        right = (there.argmax(1) == targets[:, :, 0]) & (there.amax(1) > 0) & (_iou(own, edges)[0] >= 0.5) & present
        quiet = (heat.amax((1, 2)) <= 0).float()
        return torch.where(present.any(1), right.sum(1) / present.sum(1).clamp(min=1), quiet)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """The boxes at the peaks of each class's map, those above `threshold` whose box no surer one of the class covers.

        Where the task wants at least one box, the surest is told, however low its chance.
        The confidence is that of the least sure box; without boxes, 1 less the highest chance of any. The score of a class is
        its highest chance.
        """
        import torch

        heat = torch.from_numpy(logits[:, :-4]).sigmoid()
        peaks = heat * (torch.nn.functional.max_pool2d(heat, 3, 1, 1) == heat)
        corners = _corners(torch.from_numpy(logits[:, -4:])).clamp(0, 1).flatten(2).transpose(1, 2).numpy()
        chances, places = peaks.flatten(1).topk(min(MOST, peaks[0].numel()))
        cells = heat.shape[2] * heat.shape[3]
        best = heat.flatten(2).amax(2).numpy()
        confidence = 1 - best.max(1)
        values = []
        for i, (row, where) in enumerate(zip(chances.numpy(), places.numpy(), strict=True)):
            at = corners[i, where % cells]
            boxes, kinds = np.concatenate([at[:, :2], at[:, 2:] - at[:, :2]], 1), where // cells
            kept = _kept(boxes, kinds, row, self.threshold)
            if not kept and not task.may_be_empty:
                kept = _kept(boxes, kinds, row, 0)[:1]
            if kept:
                confidence[i] = row[kept].min()
            values.append(task.parse([_told(classes[kinds[j]], boxes[j], row[j]) for j in kept]))
        return Predicted(values, confidence.astype(np.float32), best)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Learning rate and width."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 6e-3, log=True),
                "width": trial.suggest_categorical("width", [24, 32, 48]),
                "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1e-1, log=True),
            }
        )


def _network(channels: int, width: int, outputs: int) -> "nn.Module":
    import torch
    from torch import nn

    def layer(before: int, after: int, stride: int = 1) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.GroupNorm(8 if after % 8 == 0 else 1, after), nn.ReLU()
        )

    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(layer(size, size), layer(size, size))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.layers(x)

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            wide = 3 * width
            self.eighth = nn.Sequential(
                layer(channels, width, 2), layer(width, 2 * width, 2), layer(2 * width, wide, 2), Residual(wide)
            )
            self.sixteenth = nn.Sequential(layer(wide, 4 * width, 2), Residual(4 * width), nn.Conv2d(4 * width, wide, 1))
            self.head = nn.Sequential(layer(wide, wide), nn.Conv2d(wide, outputs + 4, 1))
            with torch.no_grad():  # few places are centres (Lin et al. 2017, §4.1)
                self.head[1].bias[:outputs] = -4.6
                self.head[1].bias[outputs:] = 0.5

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            x = pictures.float() / 127.5 - 1
            near = self.eighth(x.contiguous(memory_format=torch.channels_last))
            far = nn.functional.interpolate(self.sixteenth(near), size=near.shape[2:], mode="nearest")
            logits: torch.Tensor = self.head(near + far)
            return logits.float()

    return Network().to(memory_format=torch.channels_last)


def _moved(pictures: "torch.Tensor", targets: "torch.Tensor", far: float) -> "tuple[torch.Tensor, torch.Tensor]":
    """Pictures moved by up to `far`, twice as much larger or smaller, width and height not quite alike.

    Boxes are cut at the edges; objects of which less than `VISIBLE` is left are none. What lies beyond an edge looks like it.
    """
    import torch
    from torch.nn.functional import grid_sample

    n, _, height, width = pictures.shape
    scale = (torch.empty(n, 1).uniform_(-1.5 * far, 1.5 * far) + torch.empty(n, 2).uniform_(-far / 2, far / 2)).exp()
    shift = torch.empty(n, 2).uniform_(-far, far)
    x, y = (torch.linspace(-1 + 1 / cells, 1 - 1 / cells, cells, device=pictures.device) for cells in (width, height))
    across, down = (x - 2 * shift[:, :1]) / scale[:, :1], (y - 2 * shift[:, 1:]) / scale[:, 1:]
    grid = torch.stack([across[:, None, :].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)], 3)
    found = grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    scale, shift = scale.unsqueeze(1), shift.unsqueeze(1)
    centre, size = (targets[:, :, 1:3] - 0.5) * scale + shift + 0.5, targets[:, :, 3:] * scale
    low, high = (centre - size / 2).clamp(0, 1), (centre + size / 2).clamp(0, 1)
    there = (targets[:, :, 0] >= 0) & ((high - low).prod(2) >= VISIBLE * size.prod(2))
    boxes = torch.cat([targets[:, :, :1], (low + high) / 2, high - low], 2)
    return found, torch.where(there.unsqueeze(2), boxes, torch.full_like(boxes, -1))


def _coloured(pictures: "torch.Tensor") -> "torch.Tensor":
    """Pictures in other colours and light, half of them as negatives, on a ground with other stains and noise.

    Without it the network learns the grounds by heart.
    """
    import torch
    from torch.nn.functional import interpolate

    n, channels = pictures.shape[:2]
    mix = torch.eye(channels) * torch.empty(n, 1, 1).uniform_(0.6, 1.2) + 0.2 * torch.randn(n, channels, channels)
    mix = mix * torch.randint(0, 2, (n, 1, 1)).mul(2).sub(1)
    found = torch.einsum("nij,njhw->nihw", mix, pictures) + torch.empty(n, channels, 1, 1).uniform_(-0.25, 0.25)
    cells = 2 ** int(torch.randint(1, 6, ()))
    stains = torch.randn(n, channels, cells, cells) * torch.empty(n, 1, 1, 1).uniform_(0, 0.2)
    found = found + interpolate(stains, size=pictures.shape[2:], mode="bilinear")
    return found + torch.randn_like(found) * torch.empty(n, 1, 1, 1).uniform_(0, 0.08)


def _corners(distances: "torch.Tensor") -> "torch.Tensor":
    """`(b, 4, h, w)` left, top, right and bottom edges as shares, from logarithms of distances in cells."""
    import torch

    height, width = distances.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=distances.device) + 0.5, torch.arange(width, device=distances.device) + 0.5, indexing="ij"
    )
    left, top, right, bottom = distances.clamp(-6, 6).exp().unbind(1)
    return torch.stack([(x - left) / width, (y - top) / height, (x + right) / width, (y + bottom) / height], 1)


def _hills(targets: "torch.Tensor", height: int, width: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """`(b, m, h, w)` a hill of height 1 in the cell of each box's centre, as wide as its box, and which boxes there are."""
    import torch

    present = targets[:, :, 0] >= 0

    def slope(centre: torch.Tensor, size: torch.Tensor, cells: int) -> torch.Tensor:
        middle = (centre * cells).floor().clamp(0, cells - 1).unsqueeze(2)
        spread = (size * cells * SPREAD).clamp(min=NARROWEST).unsqueeze(2)
        return torch.exp(-((torch.arange(cells, device=centre.device) - middle) ** 2) / (2 * spread**2))

    across, down = slope(targets[:, :, 1], targets[:, :, 3], width), slope(targets[:, :, 2], targets[:, :, 4], height)
    return down.unsqueeze(3) * across.unsqueeze(2) * present[:, :, None, None], present


def _iou(a: "torch.Tensor", b: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Intersection over union of boxes given by their edges along axis 1, and the area of the union."""
    import torch

    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    return shared / union.clamp(min=1e-9), union


def _generalised_iou(a: "torch.Tensor", b: "torch.Tensor") -> "torch.Tensor":
    import torch

    iou, union = _iou(a, b)
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1).clamp(min=1e-9)
    return iou - (around - union) / around


def _kept(boxes: NDArray[Any], kinds: NDArray[Any], chances: NDArray[Any], threshold: float) -> list[int]:
    """The boxes, by falling chance, that are sure enough, not empty, and not covered by a surer one of their class."""
    kept: list[int] = []
    found = overlaps(boxes, boxes)
    for i in np.flatnonzero((chances >= max(threshold, 1e-6)) & (boxes[:, 2:].min(1) > 1e-4)).tolist():
        if all(kinds[i] != kinds[j] or found[i, j] <= SAME for j in kept):
            kept.append(i)
    return kept


def _told(name: str, box: NDArray[Any], chance: float) -> dict[str, Any]:
    x, y, width, height = map(float, box)
    return {"label": name, "x": x, "y": y, "width": width, "height": height, "confidence": min(float(chance), 1.0)}
