"""The torch modules of `fine_tune`: trainable encoders of texts, and of pictures and sounds, with a linear head."""

from typing import Any

import torch
from torch import nn

from ml_assets.training.architectures.networks.word_pieces import pieces_and_mask


class FineTunedTransformer(nn.Module):  # type: ignore[misc]
    """A text encoder's network with mean over the word pieces, Dropout, Linear.

    From `(batch, t)` word pieces to `(batch, outputs)` logits.
    """

    def __init__(self, transformer: Any, outputs: int, dropout: float) -> None:
        super().__init__()
        self.transformer = transformer
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(transformer.config.hidden_size, outputs))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        pieces, mask = pieces_and_mask(ids)
        hidden = self.transformer(input_ids=pieces, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(2).to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1).clamp(min=1)).float()


class FineTunedBackbone(nn.Module):  # type: ignore[misc]
    """The network of an encoder of pictures or sounds with Dropout, Linear.

    From `(batch, …)` arrays, which the network brings to `(batch, dimensions)`, to `(batch, outputs)` logits.
    """

    def __init__(self, backbone: nn.Module, dimensions: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.transformer = backbone
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(dimensions, outputs))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.head(self.transformer(batch)).float()
