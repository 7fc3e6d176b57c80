"""The architecture `token_classifier`: predicts spans by fine-tuning the encoder and reading the spelling of words.

Word pieces as in Devlin et al. 2019, §5.3; characters as in Ma & Hovy 2016, "End-to-end Sequence Labeling via Bi-directional
LSTM-CNNs-CRF", without the CRF. The encoder's pieces may have lost case, and of a number they may hold only the first digits.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.tasks import Predicted, Task
from ml_assets.texts.word_units import CONTINUED, SEEN, UNIT_COLUMNS, characters_of, code, runs, units_of, word_ends
from ml_assets.training.architectures.base import PAD, TextArchitecture, Unreachable, beside_words, reader

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

IGNORED = -100
"""Target of positions that are not trained on, as in `cross_entropy`."""
UNITS = 1024
"""Maximum number of units of a text: a stretch without spaces can be one word piece, however long it is."""

Depth = Annotated[int, Field(ge=0, le=1000)]
"""A number of encoder layers."""


class TokenClassifier(TextArchitecture):
    """Predicts spans: fine-tunes the encoder, except its word vectors, together with a network that reads how words are spelt.

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
    """Number of the encoder's layers that are used, from the first on; 0: only its word vectors. None: all. Several numbers:
    readers after each of these layers, whose errors differ more than those of readers at one depth.
    """
    spelling: int = Field(64, ge=0, le=4096)
    """Filters over the characters of each word; 0: spelling is not read."""
    recurrent: int = Field(0, ge=0, le=4096)
    """Units of each direction of an LSTM over the text, for use with few of the encoder's layers; 0: no LSTM."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of each word's vectors that is dropped in training."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of words whose vector is hidden in training, so that the network learns to use spelling and neighbours."""
    members: int = Field(1, ge=1, le=32)
    """Number of readers at each depth, each initialized at random; their probabilities are averaged."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.int32]:
        """`(n, t, 18) int32` units: word piece (padded with `PAD`), first character, last character + 1, whether a word begins.

        Behind these stand, where a word begins, its characters as `code` gives them, 0 behind the last. The encoder's own
        marks begin no word. A unit that goes on inside a word piece has `CONTINUED` instead of the piece's id.
        """
        cut = zip(items, reader(encoder).offsets(items), strict=True)
        each = [units_of(text, offsets, UNITS) for text, offsets in cut]
        found = np.zeros((len(each), max(map(len, each), default=1), UNIT_COLUMNS + SEEN * bool(self.spelling)), np.int32)
        found[:, :, 0] = PAD
        for row, text, pieces, units in zip(found, items, super().inputs(items, encoder), each, strict=True):
            row[: len(units), :UNIT_COLUMNS] = units
            row[: len(units), 0] = np.where(units[:, 0] < 0, CONTINUED, pieces[units[:, 0]])
            words = np.flatnonzero(row[:, 3])
            if self.spelling and len(words):
                for word, start, end in zip(words, row[words, 1].tolist(), word_ends(row, words).tolist(), strict=True):
                    seen = characters_of(text, start, end)
                    row[word, UNIT_COLUMNS : UNIT_COLUMNS + len(seen)] = [code(character) for character in seen]
        return found

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` number of units of each text."""
        return super().lengths(inputs[:, :, 0])

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[np.int64]:
        """`(n, t)` labels: 0 outside, `1 + 2 c` at the start of a span of class `c`, `2 + 2 c` inside; `IGNORED` within words.

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
        """The spans that begin or end within a word, or lie beyond the last word piece that the encoder reads."""
        found: list[Unreachable] = []
        for i, (value, row) in enumerate(zip(values, inputs, strict=True)):
            words = np.flatnonzero(row[:, 3])
            ends = word_ends(row, words) if len(words) else row[:0, 2]
            found += beside_words(i, value, row[words, 1], ends)
        return found

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """A copy of the encoder's first layers and, on the mean over each word's pieces, `members` readers at each depth.

        Each reader: a CNN over the word's characters, joined with the word's vector; an LSTM over both; Linear. The result is
        `(batch, t, 2 outputs + 1)` logits where words begin, 0 elsewhere: the logarithm of the sum of the readers'
        probabilities. In training the logits of each reader are separate: `(batch, t, readers, 2 outputs + 1)`.
        """
        from ml_assets.training.architectures.networks.token_classifier import TokenClassifierModule

        return TokenClassifierModule(
            reader(encoder).transformer(),
            outputs,
            depths=(self.layers,) if isinstance(self.layers, int) else self.layers,
            members=self.members,
            spelling=self.spelling,
            recurrent=self.recurrent,
            dropout=self.dropout,
            word_dropout=self.word_dropout,
        )

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Mean cross-entropy per word with label smoothing, averaged over the readers."""
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
        """`(batch,)` share of words with the right class, whether or not they start a span."""
        words = targets != IGNORED
        right = ((logits.argmax(2) + 1) // 2 == (targets + 1) // 2) & words
        return (right.sum(1) / words.sum(1).clamp(min=1)).masked_fill(~words.any(1), 1.0)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """The spans from the most probable label of each word: runs of words of one class.

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
        """Sample the learning rates of encoder and head, and dropout."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-4, 6e-4, log=True),
                "head_learning_rate": trial.suggest_float("head_learning_rate", 1e-3, 1e-2, log=True),
                "dropout": trial.suggest_float("dropout", 0.0, 0.3),
            }
        )

    def parameters(self, network: "nn.Module") -> list[dict[str, Any]]:
        """Two groups of parameters: the encoder, and the new layers with their own learning rate."""
        encoder = {id(each) for each in network.get_submodule("transformer").parameters()}
        learnt = [each for each in network.parameters() if each.requires_grad]
        own = {"params": [each for each in learnt if id(each) not in encoder], "lr": self.head_learning_rate}
        return [{"params": [each for each in learnt if id(each) in encoder]}, own]
