"""The torch module of `detector`, its loss, and its augmentation of pictures."""

import torch
from torch import nn
from torch.nn.functional import grid_sample, interpolate, logsigmoid, one_hot

SPREAD = 0.54 / 6
"""Standard deviation of a target's Gaussian peak, as a share of its box (TTFNet, §3.2)."""
NARROWEST = 0.4
"""Minimum standard deviation of a target's peak in cells, for boxes hardly larger than a cell."""
VISIBLE = 0.6
"""Minimum share of a box that must remain in an augmented picture for its object to be a target."""


class DetectorModule(nn.Module):  # type: ignore[misc]
    """A network of five convolutional stages down to 1/16 of the size, merged with the stage at 1/8, and a head there.

    From `(batch, channels, size, size)` pixels of 0 to 255 to `(batch, outputs + 4, size / 8, size / 8)` logits.
    """

    def __init__(self, outputs: int, *, channels: int, width: int) -> None:
        super().__init__()
        wide = 3 * width
        self.eighth = nn.Sequential(
            _layer(channels, width, 2), _layer(width, 2 * width, 2), _layer(2 * width, wide, 2), Residual(wide)
        )
        self.sixteenth = nn.Sequential(_layer(wide, 4 * width, 2), Residual(4 * width), nn.Conv2d(4 * width, wide, 1))
        self.head = nn.Sequential(_layer(wide, wide), nn.Conv2d(wide, outputs + 4, 1))
        with torch.no_grad():  # few places are centres (Lin et al. 2017, §4.1)
            self.head[1].bias[:outputs] = -4.6
            self.head[1].bias[outputs:] = 0.5
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = pictures.float() / 127.5 - 1
        near = self.eighth(x.contiguous(memory_format=torch.channels_last))
        far = interpolate(self.sixteenth(near), size=near.shape[2:], mode="nearest")
        return self.head(near + far).float()


class Residual(nn.Module):  # type: ignore[misc]
    """A residual block of two convolutions, from `(batch, size, h, w)` to the same shape."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_layer(size, size), _layer(size, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


def _layer(before: int, after: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.GroupNorm(8 if after % 8 == 0 else 1, after), nn.ReLU()
    )


def detection_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Focal loss of the centres (Law & Deng 2018, eq. 1) plus generalized IoU loss (Rezatofighi et al. 2019) around them.

    Args:
        logits: `(b, k + 4, h, w)` output of the network.
        targets: `(b, m, 5)` boxes: class, centre (x, y), width, height as shares of the picture; padded with -1.
    """
    heat, boxes = logits[:, :-4], corners(logits[:, -4:])
    hills, present = _hills(targets, *logits.shape[2:])  # (b, m, h, w), (b, m)
    kind = one_hot(targets[:, :, 0].long().clamp(min=0), heat.shape[1]).to(heat.dtype)
    wanted = (hills.unsqueeze(2) * kind[:, :, :, None, None]).amax(1)
    chance = heat.sigmoid()
    hit = (1 - chance) ** 2 * logsigmoid(heat) * (wanted == 1)
    miss = (1 - wanted) ** 4 * chance**2 * logsigmoid(-heat)
    centres = -(hit + miss).sum() / present.sum().clamp(min=1)
    weight, owner = hills.max(1)  # each cell predicts the box of the object with the highest peak there
    weight = weight * (weight > 0.05)
    own = targets[:, :, 1:].gather(1, owner.flatten(1).unsqueeze(2).expand(-1, -1, 4))
    own = own.transpose(1, 2).unflatten(2, owner.shape[1:])
    edges = torch.cat([own[:, :2] - own[:, 2:] / 2, own[:, :2] + own[:, 2:] / 2], 1)
    distance = 1 - _generalised_iou(boxes, edges)
    return centres + 2 * (distance * weight).sum() / weight.sum().clamp(min=1)


def detection_recall(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """`(b,)` share of objects with a class probability above 0.5 at the centre and a box with an IoU of at least 0.5.

    For a picture without objects 1 if no probability exceeds 0.5, else 0. Arguments as those of `detection_loss`.
    """
    boxes, (height, width) = corners(logits[:, -4:]), logits.shape[2:]
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


def moved(pictures: torch.Tensor, targets: torch.Tensor, far: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Randomly move and zoom `(b, c, h, w)` pictures, and transform their `(b, m, 5)` boxes.

    Pictures move by up to `far` and are zoomed by up to about twice that; width and height change slightly differently. Boxes
    are cut at the edges; objects of which less than `VISIBLE` remains are removed. Beyond the edges, edge pixels are repeated.
    """
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


def coloured(pictures: torch.Tensor) -> torch.Tensor:
    """Randomly change colours and brightness of `(b, c, h, w)` pictures, invert half of them, and add stains and noise.

    Without this the network memorizes the backgrounds.
    """
    n, channels = pictures.shape[:2]
    mix = torch.eye(channels) * torch.empty(n, 1, 1).uniform_(0.6, 1.2) + 0.2 * torch.randn(n, channels, channels)
    mix = mix * torch.randint(0, 2, (n, 1, 1)).mul(2).sub(1)
    found = torch.einsum("nij,njhw->nihw", mix, pictures) + torch.empty(n, channels, 1, 1).uniform_(-0.25, 0.25)
    cells = 2 ** int(torch.randint(1, 6, ()))
    stains = torch.randn(n, channels, cells, cells) * torch.empty(n, 1, 1, 1).uniform_(0, 0.2)
    found = found + interpolate(stains, size=pictures.shape[2:], mode="bilinear")
    return found + torch.randn_like(found) * torch.empty(n, 1, 1, 1).uniform_(0, 0.08)


def corners(distances: torch.Tensor) -> torch.Tensor:
    """`(b, 4, h, w)` left, top, right and bottom edges as shares of the picture, from log distances in cells."""
    height, width = distances.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=distances.device) + 0.5, torch.arange(width, device=distances.device) + 0.5, indexing="ij"
    )
    left, top, right, bottom = distances.clamp(-6, 6).exp().unbind(1)
    return torch.stack([(x - left) / width, (y - top) / height, (x + right) / width, (y + bottom) / height], 1)


def _hills(targets: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`(b, m, h, w)` a Gaussian peak in each box's centre cell, as wide as the box; `(b, m)` which boxes exist."""
    present = targets[:, :, 0] >= 0

    def slope(centre: torch.Tensor, size: torch.Tensor, cells: int) -> torch.Tensor:
        middle = (centre * cells).floor().clamp(0, cells - 1).unsqueeze(2)
        spread = (size * cells * SPREAD).clamp(min=NARROWEST).unsqueeze(2)
        return torch.exp(-((torch.arange(cells, device=centre.device) - middle) ** 2) / (2 * spread**2))

    across, down = slope(targets[:, :, 1], targets[:, :, 3], width), slope(targets[:, :, 2], targets[:, :, 4], height)
    return down.unsqueeze(3) * across.unsqueeze(2) * present[:, :, None, None], present


def _iou(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`(b, …)` intersection over union of boxes given by their edges along axis 1, and the area of their union."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    return shared / union.clamp(min=1e-9), union


def _generalised_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`(b, …)` generalized IoU: IoU minus the share of the smallest enclosing box that neither box covers."""
    iou, union = _iou(a, b)
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1).clamp(min=1e-9)
    return iou - (around - union) / around
