"""The torch module of `bilstm`: a recurrent network over the word vectors of a text."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ml_assets.training.architectures.networks.word_pieces import FrozenWords


class BiLSTMModule(nn.Module):  # type: ignore[misc]
    """A network of frozen word vectors, Dropout, bidirectional LSTM, max over the text, Dropout, Linear.

    From `(batch, t)` word pieces to `(batch, outputs)` logits. `vectors` are `(vocabulary, d)`.
    """

    def __init__(self, vectors: torch.Tensor, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.words = FrozenWords(vectors, dropout)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(self.words.size, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, outputs)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        inputs, mask = self.words(ids)
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=float("-inf"))
        return self.head(self.dropout(states.amax(1))).float()
