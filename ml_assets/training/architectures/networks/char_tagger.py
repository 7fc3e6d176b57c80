"""The torch module of `char_tagger`: a convolutional network over characters, with transitions for a random field."""

import torch
from torch import nn

from ml_assets.texts.word_units import KINDS
from ml_assets.training.architectures.char_tagger import BUCKETS
from ml_assets.training.architectures.networks.crf import forbidden_steps

KNOWN = 1_048_573
"""Size of the table that records which characters and pairs occurred in training; the vectors of others were never learnt."""
KIND = 8
"""Size of the embeddings of character categories."""


class CharTaggerModule(nn.Module):  # type: ignore[misc]
    """A network of embeddings of characters, their categories and pairs; dilated convolutions; Linear.

    From `(batch, t)` character codes, padded with 0, to `(batch, t + 2 k + 2, 2 k + 1)` for `k` outputs: the logits of each
    character's labels, followed by the transition scores of the random field.

    Args:
        outputs: `k`, the number of classes.
        size: Size of the embeddings of characters, and of pairs.
        width: Filters of each convolution.
        layers: Number of convolutions.
        dropout: Share of each character's vectors that is dropped in training.
        hidden: Share of characters, and of pairs, that are hidden in training.
    """

    def __init__(self, outputs: int, *, size: int, width: int, layers: int, dropout: float, hidden: float) -> None:
        super().__init__()
        labels = 2 * outputs + 1
        self.hidden = hidden
        self.character = nn.Embedding(BUCKETS, size)
        self.pair = nn.Embedding(BUCKETS, size)
        self.kind = nn.Embedding(len(KINDS) + 1, KIND)
        self.project = nn.Linear(3 * size + KIND, width)
        far = [2**i for i in range(layers)]
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3, padding=each, dilation=each) for each in far)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in far)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, labels)
        self.steps = nn.Parameter(torch.zeros(labels + 1, labels))
        self.register_buffer("known", torch.zeros(KNOWN, dtype=torch.bool))
        self.register_buffer("forbidden", forbidden_steps(labels), persistent=False)
        for each in (self.character, self.pair, self.kind):
            nn.init.normal_(each.weight, std=0.3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        longest = max(1, int((inputs > 0).sum(1).max()))
        codes = inputs[:, :longest].long()
        there = (codes > 0).unsqueeze(2)
        pairs = nn.functional.pad(codes, (1, 1))
        pairs = pairs[:, :-1] * 8191 + pairs[:, 1:]
        pair = self.seen(self.pair(pairs % BUCKETS), pairs)
        character = self.seen(self.character(codes % BUCKETS), codes)
        each = (character, pair[:, :-1], pair[:, 1:], self.kind(codes // BUCKETS))
        found = self.project(self.dropout(torch.cat(each, 2)))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            around = convolution((norm(found) * there).transpose(1, 2)).transpose(1, 2)
            found = found + self.dropout(nn.functional.gelu(around))
        emissions = nn.functional.pad(self.head(found), (0, 0, 0, inputs.shape[1] - longest))
        return torch.cat([emissions, (self.steps + self.forbidden).expand(len(inputs), -1, -1)], 1)

    def seen(self, vectors: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """The vectors, with a random share set to 0 in training, and in prediction those of keys that training never had."""
        places = keys % KNOWN
        if self.training:
            self.known[places] = True
            return vectors * (torch.rand(keys.shape) >= self.hidden).unsqueeze(2)
        return vectors * self.known[places].unsqueeze(2)


def emissions_and_steps(logits: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split the network's output into emissions `(batch, u, l)`, transitions `(l + 1, l)` and mask `(batch, u)`.

    Args:
        logits: `(batch, t + l + 1, l)` output of the network.
        there: `(batch, t)` mask of the texts; `u` is the length of the longest.
    """
    labels = logits.shape[2]
    longest = max(1, int(there.sum(1).max()))
    return logits[:, :longest], logits[0, -labels - 1 :], there[:, :longest]
