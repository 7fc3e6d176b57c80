"""The torch module of `token_classifier`: an encoder's first layers, and readers that classify words from their outputs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ml_assets.errors import InvalidValue
from ml_assets.texts.word_units import CODES, KINDS, UNIT_COLUMNS
from ml_assets.training.architectures.base import PAD
from ml_assets.training.architectures.networks.word_pieces import pieces_and_mask

CHARACTER, KIND = 24, 8
"""Size of the vectors of characters, and of their categories."""


class TokenClassifierModule(nn.Module):  # type: ignore[misc]
    """A network of some layers of an encoder and, on the mean over each word's pieces, `members` readers at each depth.

    From `(batch, t, 4 + c)` units with the characters of words to `(batch, t, 2 outputs + 1)` logits where words begin, 0
    elsewhere: the logarithm of the sum of the readers' probabilities. In training the logits of each reader are separate:
    `(batch, t, readers, 2 outputs + 1)`.

    Args:
        transformer: The encoder's network; its word vectors are frozen.
        outputs: Number of classes.
        depths: Layers after which readers are placed; layers after the last of these are removed. None: after all layers.
        members: Number of readers at each depth.
        spelling: Passed on to `WordReader`, like the arguments that follow.
    """

    def __init__(
        self,
        transformer: Any,
        outputs: int,
        *,
        depths: Sequence[int] | None,
        members: int,
        spelling: int,
        recurrent: int,
        dropout: float,
        word_dropout: float,
    ) -> None:
        super().__init__()
        # half of all weights: training them doubles the time, and separates words in the training data from all others
        transformer.get_input_embeddings().requires_grad_(False)
        width = transformer.config.hidden_size
        self.depths = depths or (transformer.config.num_hidden_layers,)
        if depths is not None:
            _cut(transformer, max(depths))
        self.transformer = transformer
        self.members = nn.ModuleList(
            WordReader(width, outputs, spelling=spelling, recurrent=recurrent, dropout=dropout, word_dropout=word_dropout)
            for _ in range(members * len(self.depths))
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inside = inputs[:, : max(1, int((inputs[:, :, 0] != PAD).sum(1).max()))]
        ids = inside[:, :, 0]
        piece = (ids >= 0).cumsum(1) - 1  # index of each unit's word piece in its text
        cut = torch.full_like(ids, PAD)
        cut[(ids >= 0).nonzero()[:, 0], piece[ids >= 0]] = ids[ids >= 0]
        pieces, mask = pieces_and_mask(cut)
        read = self.transformer(input_ids=pieces, attention_mask=mask, output_hidden_states=True)
        states = (*read.hidden_states[:-1], read.last_hidden_state)  # without layers there is only the last
        begins = inside[:, :, 3] > 0
        place = begins.cumsum(1) - 1  # index of each unit's word in its text
        own = (place >= 0) & (inside[:, :, 2] > 0)  # special tokens belong to no word
        row = torch.arange(len(pieces)).unsqueeze(1).expand_as(place)
        at = row[own], piece[own]
        counts = begins.sum(1)
        shape = (len(pieces), max(1, int(counts.max())))
        # bfloat16 with its three digits is too inaccurate for means and LSTM states
        with torch.autocast(inputs.device.type, enabled=False):
            sizes = torch.zeros(shape).index_put((row[own], place[own]), torch.ones(()), True).clamp(min=1).unsqueeze(2)
            width = states[0].shape[2]
            words = [
                torch.zeros(*shape, width).index_put((row[own], place[own]), states[depth][at].float(), True) / sizes
                for depth in self.depths
            ]
            spelt = torch.zeros(*shape, inside.shape[2] - UNIT_COLUMNS, dtype=torch.long)
            spelt[row[begins], place[begins]] = inside[begins][:, UNIT_COLUMNS:].long()
            each = [member(words[i % len(words)], spelt, counts) for i, member in enumerate(self.members)]
            logits = torch.stack(each, 2)
            if not self.training:
                logits = logits.log_softmax(3).logsumexp(2)
            found = torch.zeros(*inputs.shape[:2], *logits.shape[2:])
            found[row[begins], begins.nonzero()[:, 1]] = logits[row[begins], place[begins]]
            return found


class WordReader(nn.Module):  # type: ignore[misc]
    """A network of a CNN over each word's characters, joined with the word's vector; an LSTM over both; Linear.

    From `(batch, w, width)` vectors of words, their `(batch, w, c)` characters and their `(batch,)` counts to `(batch, w, 2
    outputs + 1)` logits.

    Args:
        width: Size of the vectors of words.
        outputs: Number of classes.
        spelling: Filters over the characters; 0: characters are not read.
        recurrent: Units of each direction of the LSTM; 0: no LSTM.
        dropout: Share of each word's vectors that is dropped in training.
        word_dropout: Share of words whose vector is hidden in training.
    """

    def __init__(self, width: int, outputs: int, spelling: int, recurrent: int, dropout: float, word_dropout: float) -> None:
        super().__init__()
        self.spelling, self.recurrent, self.word_dropout = spelling, recurrent, word_dropout
        size = width
        if spelling:
            self.character = nn.Embedding(CODES, CHARACTER, padding_idx=0)
            self.kind = nn.Embedding(len(KINDS) + 1, KIND, padding_idx=0)
            self.filters = nn.Conv1d(CHARACTER + KIND, spelling, 3, padding=1)
            size += spelling
        if recurrent:
            self.narrow = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, recurrent), nn.GELU())
            size += recurrent - width
            self.lstm = nn.LSTM(size, recurrent, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * recurrent or size, 2 * outputs + 1)

    def forward(self, words: torch.Tensor, spelt: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        found = self.dropout(self.narrow(words) if self.recurrent else words)
        if self.training and self.word_dropout:
            found = found * (torch.rand(words.shape[:2]) >= self.word_dropout).unsqueeze(2)
        if self.spelling:
            codes = spelt.flatten(0, 1)
            vectors = torch.cat([self.character(codes % CODES), self.kind(codes // CODES)], 2).transpose(1, 2)
            read = self.filters(vectors).relu().amax(2).unflatten(0, words.shape[:2])
            found = torch.cat([self.dropout(read), found], 2)
        if self.recurrent:
            lengths = counts.clamp(min=1).cpu()
            packed = pack_padded_sequence(found, lengths, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=words.shape[1])
            found = self.dropout(states)
        return self.head(found)


def _cut(transformer: Any, layers: int) -> None:
    """Keep only the first `layers` layers. Raises `InvalidValue` if there are fewer, or if they are not found."""
    most = transformer.config.num_hidden_layers
    stacks = [each for each in transformer.modules() if isinstance(each, nn.ModuleList) and len(each) == most]
    if layers > most or len(stacks) != 1:
        why = f"it has {most}" if layers > most else "it has no plain list of them: leave `layers` empty"
        raise InvalidValue(f"cannot take the first {layers} layers of the encoder: {why}")
    del stacks[0][layers:]
