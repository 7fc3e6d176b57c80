"""Torch helpers for word pieces: masks, and frozen word vectors."""

import torch
from torch import nn

from ml_assets.training.architectures.base import PAD


def pieces_and_mask(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`(batch, t)` word pieces cut to the longest text of the batch and padded with 0, and their mask."""
    longest = max(1, int((ids != PAD).sum(1).max()))
    ids = ids[:, :longest].long()
    mask = ids != PAD
    return ids.masked_fill(~mask, 0), mask


class FrozenWords(nn.Module):  # type: ignore[misc]
    """A module from `(batch, t)` word pieces to their `(batch, t, d)` vectors after dropout, and the `(batch, t)` mask.

    The vectors are neither trained nor saved: they come with the encoder.

    Args:
        vectors: `(vocabulary, d) float32`, the encoder's input embeddings.
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
