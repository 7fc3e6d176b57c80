"""The architecture `char_tagger`: predicts spans from characters alone, for languages that no encoder supports.

Dilated convolutions as in Strubell et al. 2017, "Fast and Accurate Entity Recognition with Iterated Dilated Convolutions", over
characters and pairs of characters, and a conditional random field over the labels.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.tasks import Predicted, Task
from ml_assets.texts.word_units import CODES, code, runs
from ml_assets.training.architectures.base import Architecture, Unreachable, beside_words

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

IGNORED = -100
"""Target of the padding behind the end of a text."""
BUCKETS = 32_749
"""Number of hash buckets for characters, and for pairs; common Chinese characters have a bucket each."""
PREDICTED_TOGETHER = 64
"""Number of texts whose labels are decoded together."""


class CharTagger(Architecture):
    """Predicts spans character by character, trained from scratch; it uses no encoder, so that it suits any language.

    A span may begin and end at any character. `k` classes have `2 k + 1` labels: outside, then beginning and inside of each
    class; a conditional random field over them never goes inside a class that has not begun.
    """

    name_in_yaml: ClassVar[str] = "char_tagger"
    modalities: ClassVar[tuple[str, ...]] = ("text",)
    tasks: ClassVar[tuple[str, ...]] = ("spans",)
    embedded: ClassVar[bool] = False
    marks_spans: ClassVar[bool] = True
    predict_batch: ClassVar[int] = 64

    learning_rate: float = Field(3e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(16, ge=1)
    """Samples per optimisation step."""
    longest: int = Field(1024, ge=1, le=100_000)
    """Maximum number of characters of a text that are read; later ones are outside of spans."""
    size: int = Field(64, ge=1, le=4096)
    """Size of the embeddings of characters, and of pairs of characters."""
    width: int = Field(128, ge=1, le=4096)
    """Filters of each convolution."""
    layers: int = Field(4, ge=1, le=8)
    """Number of convolutions of width 3; the dilation doubles from one to the next."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of each character's vectors that is dropped in training."""
    hidden: float = Field(0.3, ge=0, lt=1)
    """Share of characters, and of pairs, that are hidden in training, so that the network learns to use their context. Those
    that never occur in training are hidden in prediction.
    """

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.int32]:
        """`(n, t) int32` codes of characters by category and bucket, padded with 0."""
        cut = [item[: self.longest] for item in items]
        found = np.zeros((len(cut), max(map(len, cut), default=1)), np.int32)
        for row, text in zip(found, cut, strict=True):
            row[: len(text)] = [_bucket(character) for character in text]
        return found

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` number of characters that are read of each text."""
        return np.asarray((inputs > 0).sum(1))

    def targets(self, values: Sequence[str], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> NDArray[np.int64]:
        """`(n, t)` labels: 0 outside, `1 + 2 c` at the start of a span of class `c`, `2 + 2 c` inside; `IGNORED` as padding."""
        index = {name: i for i, name in enumerate(classes)}
        found = np.where(inputs > 0, 0, IGNORED).astype(np.int64)
        for row, read, value in zip(found, (inputs > 0).sum(1), values, strict=True):
            for span in json.loads(value):
                row[span["start"] : min(span["end"], read)] = 2 + 2 * index[span["label"]]
                row[span["start"] : min(span["start"] + 1, read)] -= 1
        return found

    def unreachable(self, values: Sequence[str], inputs: NDArray[Any]) -> list[Unreachable]:
        """The spans that end beyond the characters that are read."""
        found: list[Unreachable] = []
        for i, (value, read) in enumerate(zip(values, (inputs > 0).sum(1), strict=True)):
            found += beside_words(i, value, np.arange(read), np.arange(1, read + 1))
        return found

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Embeddings of characters, categories and pairs; dilated convolutions; Linear; transitions of a random field.

        The result is `(batch, t + 2 k + 2, 2 k + 1)` of `k` outputs: the logits of each character's labels, and behind these
        what the random field adds for each step from label to label.
        """
        from ml_assets.training.architectures.networks.char_tagger import CharTaggerModule

        return CharTaggerModule(
            outputs, size=self.size, width=self.width, layers=self.layers, dropout=self.dropout, hidden=self.hidden
        )

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """The negative log-likelihood of the labels under the random field, per character, without label smoothing."""
        from ml_assets.training.architectures.networks.char_tagger import emissions_and_steps
        from ml_assets.training.architectures.networks.crf import log_partition, score_of

        emissions, steps, mask = emissions_and_steps(logits, targets != IGNORED)
        labels = targets[:, : mask.shape[1]]
        total = log_partition(emissions, steps, mask) - score_of(emissions, steps, mask, labels)
        return total.sum() / mask.sum().clamp(min=1)

    def score(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """`(batch,)` share of characters with the right class, whether or not they start a span."""
        from ml_assets.training.architectures.networks.char_tagger import emissions_and_steps
        from ml_assets.training.architectures.networks.crf import best_path

        emissions, steps, mask = emissions_and_steps(logits, targets != IGNORED)
        found = best_path(emissions, steps, mask)
        right = ((found + 1) // 2 == (targets[:, : mask.shape[1]] + 1) // 2) & mask
        return right.sum(1) / mask.sum(1).clamp(min=1)

    def predicted(self, logits: NDArray[np.float32], inputs: NDArray[Any], classes: Sequence[str], task: Task) -> Predicted:
        """The spans of the most probable sequence of labels (Viterbi).

        The confidence is the smallest probability of a character's label; the score of a class its largest probability,
        beginning or inside, among the characters. Where the task wants at least one span, the likeliest character is told.
        """
        import torch

        from ml_assets.training.architectures.networks.char_tagger import emissions_and_steps
        from ml_assets.training.architectures.networks.crf import best_path, marginals

        values, confidence = [], np.ones(len(logits), np.float32)
        scores = np.zeros((len(logits), len(classes)), np.float32)
        for first in range(0, len(logits), PREDICTED_TOGETHER):
            part = slice(first, first + PREDICTED_TOGETHER)
            emissions, steps, mask = emissions_and_steps(torch.from_numpy(logits[part]), torch.from_numpy(inputs[part] > 0))
            paths, chances = best_path(emissions, steps, mask).numpy(), marginals(emissions, steps, mask).numpy()
            for i, (path, chance, read) in enumerate(zip(paths, chances, mask.sum(1).tolist(), strict=True), first):
                best, chance = path[:read], chance[:read]
                if read and not best.any() and not task.may_be_empty:
                    place, label = divmod(int(chance[:, 1:].argmax()), chance.shape[1] - 1)
                    best[place] = label + 1
                if read:
                    confidence[i] = chance[np.arange(read), best].min().clip(0, 1)
                    scores[i] = (chance[:, 1::2] + chance[:, 2::2]).max(0).clip(0, 1)
                spans = runs(best, np.arange(read), np.arange(1, read + 1))
                values.append(task.parse([{"start": start, "end": end, "label": classes[c]} for start, end, c in spans]))
        return Predicted(values, confidence, scores)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample learning rate, dropout and width."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
                "dropout": trial.suggest_float("dropout", 0.1, 0.5),
                "width": trial.suggest_categorical("width", [64, 128, 256]),
            }
        )


def _bucket(character: str) -> int:
    """The code of a character by category and bucket, never 0."""
    return code(character) // CODES * BUCKETS + ord(character) % BUCKETS
