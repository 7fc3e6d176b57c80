"""The torch module of `text_cnn`: a convolutional network over the word vectors of a text."""

from collections.abc import Sequence

import torch
from torch import nn

from ml_assets.training.architectures.networks.word_pieces import FrozenWords


class TextCNNModule(nn.Module):  # type: ignore[misc]
    """A network of frozen word vectors, Dropout, one Conv1d and max per width, Dropout, Linear.

    From `(batch, t)` word pieces to `(batch, outputs)` logits. `vectors` are `(vocabulary, d)`.
    """

    def __init__(self, vectors: torch.Tensor, outputs: int, filters: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.words = FrozenWords(vectors, dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(self.words.size, filters, w, padding=w - 1) for w in widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(widths), outputs)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        inputs, mask = self.words(ids)
        inputs = (inputs * mask.unsqueeze(2)).transpose(1, 2)
        answers = [convolution(inputs).relu().amax(2) for convolution in self.convolutions]
        return self.head(self.dropout(torch.cat(answers, 1))).float()
