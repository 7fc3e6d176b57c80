"""What networks make of the word pieces of texts first: where the texts are, and the vectors of the pieces."""

import torch
from torch import nn

from ml_assets.training.architectures.base import PAD


def pieces_and_mask(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`(batch, t)` word pieces, cut at the longest text of the batch and 0 behind the ends, and where the texts are."""
    longest = max(1, int((ids != PAD).sum(1).max()))
    ids = ids[:, :longest].long()
    mask = ids != PAD
    return ids.masked_fill(~mask, 0), mask


class FrozenWords(nn.Module):  # type: ignore[misc]
    """From `(batch, t)` word pieces to their `(batch, t, d)` vectors, after dropout, and the `(batch, t)` mask of the texts.

    The vectors are not learnt, and not saved: they come with the encoder.

    Args:
        vectors: `(vocabulary, d) float32`, those with which the encoder begins.
        dropout: Share of the vectors' values that is dropped in training.
    """

    def __init__(self, vectors: torch.Tensor, dropout: float) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.size = vectors.shape[1]

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pieces, mask = pieces_and_mask(ids)
        return self.dropout(nn.functional.embedding(pieces, self.vectors)), mask
