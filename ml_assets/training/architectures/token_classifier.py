"""The encoder, trained on beside what each word is spelt of, says where a span begins and goes on.

Word pieces as in Devlin et al. 2019, §5.3; characters as in Ma & Hovy 2016, "End-to-end Sequence Labeling via Bi-directional
LSTM-CNNs-CRF", without the CRF. The encoder's pieces may have lost case, and tell nothing of a number but its first digits.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.errors import InvalidValue
from ml_assets.modalities import Encoder
from ml_assets.tasks import Predicted, Task
from ml_assets.training.architectures.base import PAD, TextArchitecture, Unreachable, beside_words, pieces_and_mask, reader
from ml_assets.training.architectures.words import (
    CODES,
    CONTINUED,
    KINDS,
    SEEN,
    characters_of,
    code,
    runs,
    units_of,
    word_ends,
)

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

IGNORED = -100
"""The target of what is not learnt, as `cross_entropy` has it."""
OWN = 4
"""Columns of a unit before its characters."""
UNITS = 1024
"""Units of a text that are read at most: a stretch without spaces can be one word piece, however long it is."""
CHARACTER, KIND = 24, 8
"""Size of the vectors of characters, and of their categories."""

Depth = Annotated[int, Field(ge=0, le=1000)]
"""How many layers of an encoder."""


class TokenClassifier(TextArchitecture):
    """Marks spans: fine-tunes the encoder, but for its word vectors, beside a network that reads how words are spelt.

    It reads words as the encoder's tokenizer splits them before it cuts them into pieces: at white space and around each
    punctuation mark, so that a span may end before a comma. In scripts without spaces each piece counts as a word, and of a
    piece of several letters each letter. The mean of its pieces stands for a word, of which it also reads the characters, with
    their case. `k` classes have `2 k + 1` logits: outside, then beginning and inside of each class. What
    the encoder cuts off is outside.
    """

    name_in_yaml: ClassVar[str] = "token_classifier"
    tasks: ClassVar[tuple[str, ...]] = ("spans",)
    marks_spans: ClassVar[bool] = True

    learning_rate: float = Field(3e-4, gt=0, le=1)
    """Peak learning rate of the encoder's weights."""
    head_learning_rate: float = Field(3e-3, gt=0, le=1)
    """Peak learning rate of the head."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(8, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(16, ge=1)
    """Samples per optimisation step."""
    layers: Depth | Annotated[tuple[Depth, ...], Field(min_length=1)] | None = None
    """How many of the encoder's layers are used, from the first on; 0: its word vectors alone. None: all. Several numbers:
    readers behind each of these, whose mistakes differ more than those of readers at one depth do."""
    spelling: int = Field(64, ge=0, le=4096)
    """Filters over the characters of each word; 0: it does not read them."""
    recurrent: int = Field(0, ge=0, le=4096)
    """Units of each direction of an LSTM over the text, for where few of the encoder's layers are used; 0: there is none."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of each word's vectors that is dropped in training."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of words whose vector is hidden in training, so that it learns to go by spelling and neighbours."""
    members: int = Field(1, ge=1, le=32)
    """How many readers stand side by side at each depth, each beginning by chance; their probabilities are averaged."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.int32]:
        """`(n, t, 18) int32` of each unit: its word piece (`PAD` behind the end), first character, last one + 1, begins a word.

        Behind these stand, where a word begins, its characters as `code` gives them, 0 behind the last. The encoder's own
        marks begin no word. A unit that goes on inside a word piece has `CONTINUED` instead of the piece's id.
        """
        cut = zip(items, reader(encoder).offsets(items), strict=True)
        each = [units_of(text, offsets, UNITS) for text, offsets in cut]
        found = np.zeros((len(each), max(map(len, each), default=1), OWN + SEEN * bool(self.spelling)), np.int32)
        found[:, :, 0] = PAD
        for row, text, pieces, units in zip(found, items, super().inputs(items, encoder), each, strict=True):
            row[: len(units), :OWN] = units
            row[: len(units), 0] = np.where(units[:, 0] < 0, CONTINUED, pieces[units[:, 0]])
            words = np.flatnonzero(row[:, 3])
            if self.spelling and len(words):
                for word, start, end in zip(words, row[words, 1].tolist(), word_ends(row, words).tolist(), strict=True):
                    seen = characters_of(text, start, end)
                    row[word, OWN : OWN + len(seen)] = [code(character) for character in seen]
        return found

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """Units."""
        return super().lengths(inputs[:, :, 0])

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[np.int64]:
        """`(n, t)` 0 outside, `1 + 2 c` at the beginning of a span of class `c`, `2 + 2 c` inside; `IGNORED` within words.

        A word belongs to the span that covers its first character.
        """
        index = {name: i for i, name in enumerate(classes)}
        found = np.full(inputs.shape[:2], IGNORED, np.int64)
        for row, pieces, value in zip(found, inputs, values, strict=True):
            words = np.flatnonzero(pieces[:, 3])
            row[words] = 0
            starts = pieces[words, 1]
            for span in json.loads(value):
                covered = words[(starts >= span["start"]) & (starts < span["end"])]
                row[covered] = 2 + 2 * index[span["label"]]
                row[covered[:1]] -= 1
        return found

    def unreachable(self, values: Sequence[str], inputs: NDArray[Any]) -> list[Unreachable]:
        """Spans that begin or end within a word, or lie behind the last word piece that the encoder reads."""
        found: list[Unreachable] = []
        for i, (value, row) in enumerate(zip(values, inputs, strict=True)):
            words = np.flatnonzero(row[:, 3])
            ends = word_ends(row, words) if len(words) else row[:0, 2]
            found += beside_words(i, value, row[words, 1], ends)
        return found

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """A copy of the encoder's first layers, and on the mean over each word's pieces `members` readers at each depth.

        Each reader: a CNN over the word's characters; beside it the word's vector; an LSTM over both; Linear. The result is
        `(batch, t, 2 outputs + 1)` logits where words begin, 0 elsewhere: the logarithm of the readers' mean probabilities. In
        training each reader is by itself: `(batch, t, readers, 2 outputs + 1)`.
        """
        import torch
        from torch import nn

        transformer = reader(encoder).transformer()
        # half of all weights: moving them costs as much time as the layers do, and parts words that are learnt from the others
        transformer.get_input_embeddings().requires_grad_(False)
        width = transformer.config.hidden_size
        depths = (self.layers,) if isinstance(self.layers, int) else self.layers or (transformer.config.num_hidden_layers,)
        if self.layers is not None:
            _cut(transformer, max(depths))
        readers = [_reader_of_words(self, width, outputs) for _ in range(self.members * len(depths))]

        class Tagger(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.transformer = transformer
                self.members = nn.ModuleList(readers)

            def forward(self, inputs: "torch.Tensor") -> "torch.Tensor":
                inside = inputs[:, : max(1, int((inputs[:, :, 0] != PAD).sum(1).max()))]
                ids = inside[:, :, 0]
                piece = (ids >= 0).cumsum(1) - 1  # of each unit among the pieces of its text
                cut = torch.full_like(ids, PAD)
                cut[(ids >= 0).nonzero()[:, 0], piece[ids >= 0]] = ids[ids >= 0]
                pieces, mask = pieces_and_mask(cut)
                read = self.transformer(input_ids=pieces, attention_mask=mask, output_hidden_states=True)
                states = (*read.hidden_states[:-1], read.last_hidden_state)  # an encoder without layers tells the last alone
                begins = inside[:, :, 3] > 0
                place = begins.cumsum(1) - 1  # of each unit's word among the words of its text
                own = (place >= 0) & (inside[:, :, 2] > 0)  # the encoder's own marks belong to none
                row = torch.arange(len(pieces)).unsqueeze(1).expand_as(place)
                at = row[own], piece[own]
                counts = begins.sum(1)
                shape = (len(pieces), max(1, int(counts.max())))
                # neither the mean nor an LSTM's states do with bfloat16's three digits
                with torch.autocast(inputs.device.type, enabled=False):
                    sizes = torch.zeros(shape).index_put((row[own], place[own]), torch.ones(()), True).clamp(min=1).unsqueeze(2)
                    words = [
                        torch.zeros(*shape, width).index_put((row[own], place[own]), states[depth][at].float(), True) / sizes
                        for depth in depths
                    ]
                    spelt = torch.zeros(*shape, inside.shape[2] - OWN, dtype=torch.long)
                    spelt[row[begins], place[begins]] = inside[begins][:, OWN:].long()
                    each = [member(words[i % len(depths)], spelt, counts) for i, member in enumerate(self.members)]
                    said = torch.stack(each, 2)
                    if not self.training:
                        said = said.log_softmax(3).logsumexp(2)
                    found = torch.zeros(*inputs.shape[:2], *said.shape[2:])
                    found[row[begins], begins.nonzero()[:, 1]] = said[row[begins], place[begins]]
                    return found

        return Tagger()

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Cross-entropy of each word, with label smoothing; of several readers the mean."""
        from torch.nn.functional import cross_entropy

        if logits.dim() == 4:
            targets = targets.unsqueeze(2).expand(logits.shape[:3])
        total = cross_entropy(
            logits.flatten(0, -2),
            targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        return total / (targets != IGNORED).sum().clamp(min=1)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Share of words whose class is right, whether they begin a span or not."""
        words = targets != IGNORED
        right = ((logits.argmax(2) + 1) // 2 == (targets + 1) // 2) & words
        return (right.sum(1) / words.sum(1).clamp(min=1)).masked_fill(~words.any(1), 1.0)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """Runs of words of a class, from the first character of the first one to the last character of the last.

        A word that goes on with a class that the word before does not have begins a span. The confidence is the smallest
        probability of a word's label; the score of a class its largest probability, beginning or inside, among the words.
        Where the task wants at least one span, the likeliest word is told, however low its chance.
        """
        import torch

        chances = torch.from_numpy(logits).softmax(2).numpy()
        values, confidence = [], np.ones(len(logits), np.float32)
        scores = np.zeros((len(logits), len(classes)), np.float32)
        for i, (chance, pieces) in enumerate(zip(chances, inputs, strict=True)):
            words = np.flatnonzero(pieces[:, 3])
            if not len(words):
                values.append("[]")
                continue
            chance = chance[words]
            best = chance.argmax(1)
            if not best.any() and not task.may_be_empty:
                word, label = divmod(int(chance[:, 1:].argmax()), chance.shape[1] - 1)
                best[word] = label + 1
            confidence[i] = chance[np.arange(len(words)), best].min()
            scores[i] = (chance[:, 1::2] + chance[:, 2::2]).max(0).clip(0, 1)
            spans = runs(best, pieces[words, 1], word_ends(pieces, words))
            values.append(task.parse([{"start": start, "end": end, "label": classes[c]} for start, end, c in spans]))
        return Predicted(values, confidence, scores)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Learning rates and dropout."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-4, 6e-4, log=True),
                "head_learning_rate": trial.suggest_float("head_learning_rate", 1e-3, 1e-2, log=True),
                "dropout": trial.suggest_float("dropout", 0.0, 0.3),
            }
        )

    def parameters(self, network: "nn.Module") -> list[dict[str, Any]]:
        """What begins from nothing learns faster than the encoder."""
        encoder = {id(each) for each in network.get_submodule("transformer").parameters()}
        learnt = [each for each in network.parameters() if each.requires_grad]
        own = {"params": [each for each in learnt if id(each) not in encoder], "lr": self.head_learning_rate}
        return [{"params": [each for each in learnt if id(each) in encoder]}, own]


def _reader_of_words(options: TokenClassifier, width: int, outputs: int) -> "nn.Module":
    """A module from `(batch, w, width)` vectors of words, their `(batch, w, c)` characters and their counts to logits."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Reader(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            size = width
            if options.spelling:
                self.character = nn.Embedding(CODES, CHARACTER, padding_idx=0)
                self.kind = nn.Embedding(len(KINDS) + 1, KIND, padding_idx=0)
                self.filters = nn.Conv1d(CHARACTER + KIND, options.spelling, 3, padding=1)
                size += options.spelling
            if options.recurrent:
                self.narrow = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, options.recurrent), nn.GELU())
                size += options.recurrent - width
                self.lstm = nn.LSTM(size, options.recurrent, batch_first=True, bidirectional=True)
            self.dropout = nn.Dropout(options.dropout)
            self.head = nn.Linear(2 * options.recurrent or size, 2 * outputs + 1)

        def forward(self, words: torch.Tensor, spelt: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
            found = self.dropout(self.narrow(words) if options.recurrent else words)
            if self.training and options.word_dropout:
                found = found * (torch.rand(words.shape[:2]) >= options.word_dropout).unsqueeze(2)
            if options.spelling:
                codes = spelt.flatten(0, 1)
                vectors = torch.cat([self.character(codes % CODES), self.kind(codes // CODES)], 2).transpose(1, 2)
                read = self.filters(vectors).relu().amax(2).unflatten(0, words.shape[:2])
                found = torch.cat([self.dropout(read), found], 2)
            if options.recurrent:
                lengths = counts.clamp(min=1).cpu()
                packed = pack_padded_sequence(found, lengths, batch_first=True, enforce_sorted=False)
                states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=words.shape[1])
                found = self.dropout(states)
            logits: torch.Tensor = self.head(found)
            return logits

    return Reader()


def _cut(transformer: Any, layers: int) -> None:
    """Leave the first layers. Raises `ValueError` if there are not so many, or if they are not found."""
    from torch import nn

    most = transformer.config.num_hidden_layers
    stacks = [each for each in transformer.modules() if isinstance(each, nn.ModuleList) and len(each) == most]
    if layers > most or len(stacks) != 1:
        why = f"it has {most}" if layers > most else "it has no plain list of them: leave `layers` empty"
        raise InvalidValue(f"cannot take the first {layers} layers of the encoder: {why}")
    del stacks[0][layers:]
