"""The torch module of `fusion`, which joins the vectors of several parts, some of which may be missing."""

from collections.abc import Sequence

import torch
from torch import nn


class FusionModule(nn.Module):  # type: ignore[misc]
    """A network of Linear, GELU, LayerNorm for each part; then Dropout, Linear, GELU, Dropout, Linear.

    From `(batch, d)` vectors, in which each part has its block and one that is missing is all 0, to `(batch, outputs)` logits.
    """

    def __init__(
        self, blocks: Sequence[slice], outputs: int, *, width: int, hidden: int, dropout: float, part_dropout: float
    ) -> None:
        super().__init__()
        self.blocks, self.part_dropout = blocks, part_dropout
        sizes = [block.stop - block.start for block in blocks]
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.LayerNorm(width)) for size in sizes)
        self.missing = nn.Parameter(torch.zeros(len(blocks), width))
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(len(blocks) * width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        found = []
        for block, part, missing in zip(self.blocks, self.parts, self.missing, strict=True):
            vector = vectors[:, block]
            norm = vector.norm(dim=1, keepdim=True)
            there = norm > 0
            if self.training and self.part_dropout:
                there = there & (torch.rand_like(norm) >= self.part_dropout)
            # the scale must not depend on the part's dimensions or the number of parts
            scaled = vector / norm.clamp(min=1e-12) * vector.shape[1] ** 0.5
            found.append(torch.where(there, part(scaled), missing))
        return self.head(torch.cat(found, dim=1))
