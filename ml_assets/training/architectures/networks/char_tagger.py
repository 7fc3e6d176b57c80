"""A convolutional network over characters and pairs of them, with what a random field adds for each step."""

import torch
from torch import nn

from ml_assets.texts.word_units import KINDS
from ml_assets.training.architectures.char_tagger import BUCKETS
from ml_assets.training.architectures.networks.crf import forbidden_steps

KNOWN = 1_048_573
"""Characters and pairs of which it is kept whether training showed them: the vectors of others were never learnt."""
KIND = 8
"""Size of the vectors of the categories of characters."""


class CharTaggerModule(nn.Module):  # type: ignore[misc]
    """Vectors of characters, of their categories and of pairs; dilated convolutions; Linear.

    From `(batch, t)` characters by category and bucket, 0 behind the end, to `(batch, t + 2 k + 2, 2 k + 1)` of `k` outputs:
    the logits of each character's labels, and behind these what the random field adds for each step from label to label.

    Args:
        outputs: `k`.
        size: Of the vectors of characters, and of pairs.
        width: Filters of each convolution.
        layers: How many convolutions.
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
        """The vectors; hidden are some of them in training, and later those of what training never showed."""
        places = keys % KNOWN
        if self.training:
            self.known[places] = True
            return vectors * (torch.rand(keys.shape) >= self.hidden).unsqueeze(2)
        return vectors * self.known[places].unsqueeze(2)


def emissions_and_steps(logits: torch.Tensor, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The emissions `(batch, u, l)`, the steps `(l + 1, l)` and the mask `(batch, u)` in what the network gives.

    Args:
        logits: `(batch, t + l + 1, l)` of the network.
        there: `(batch, t)` where the texts are; `u` is the length of the longest.
    """
    labels = logits.shape[2]
    longest = max(1, int(there.sum(1).max()))
    return logits[:, :longest], logits[0, -labels - 1 :], there[:, :longest]
