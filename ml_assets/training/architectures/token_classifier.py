"""The encoder itself, trained on to say of each word where a span begins and goes on (Devlin et al. 2019, §5.3)."""

import json
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.tasks import Predicted, Task
from ml_assets.training.architectures.base import TextArchitecture, pieces_and_mask, reader

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn

IGNORED = -100
"""The target of what is not learnt, as `cross_entropy` has it."""


class TokenClassifier(TextArchitecture):
    """Fine-tunes the encoder, but for its word vectors, to mark spans.

    It reads words as the encoder's tokenizer splits them before it cuts them into pieces: at white space and around each
    punctuation mark, so that a span may end before a comma. The first piece of a word stands for it. `k` classes have
    `2 k + 1` logits: outside, then beginning and inside of each class. What the encoder cuts off is outside.
    """

    name_in_yaml: ClassVar[str] = "token_classifier"
    tasks: ClassVar[tuple[str, ...]] = ("spans",)

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
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of each word's vector that is dropped in training."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.int32]:
        """`(n, t, 4) int32` of each word piece: its id (`PAD` behind the end), first character, last one + 1, begins a word.

        The encoder's own marks begin no word.
        """
        pieces = super().inputs(items, encoder)
        found = np.zeros((*pieces.shape, 4), np.int32)
        found[:, :, 0] = pieces
        for row, text, cut in zip(found, items, reader(encoder).offsets(items), strict=True):
            offsets = [(start, _with_marks(text, end) if end > start else end) for start, end in cut]
            row[: len(offsets), 1:3] = np.array(offsets, np.int32).reshape(-1, 2)
            row[: len(offsets), 3] = _begins(text, offsets)
        return found

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """Word pieces."""
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

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """A copy of the encoder's transformer, Dropout, Linear: `(batch, t, 2 outputs + 1)` logits, 0 behind the ends."""
        import torch
        from torch import nn

        transformer, dropout = reader(encoder).transformer(), self.dropout
        # half of all weights: moving them costs as much time as the layers do, and parts words that are learnt from the others
        transformer.get_input_embeddings().requires_grad_(False)

        class Tagger(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.transformer = transformer
                self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(transformer.config.hidden_size, 2 * outputs + 1))

            def forward(self, inputs: "torch.Tensor") -> "torch.Tensor":
                pieces, mask = pieces_and_mask(inputs[:, :, 0])
                hidden = self.transformer(input_ids=pieces, attention_mask=mask).last_hidden_state
                logits: torch.Tensor = self.head(hidden).float().masked_fill(~mask.unsqueeze(2), 0.0)
                return nn.functional.pad(logits, (0, 0, 0, inputs.shape[1] - logits.shape[1]))

        return Tagger()

    def loss(self, logits: "torch.Tensor", targets: "torch.Tensor", task: Task) -> "torch.Tensor":
        """Cross-entropy of each word, with label smoothing."""
        from torch.nn.functional import cross_entropy

        total = cross_entropy(
            logits.flatten(0, 1),
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
            best = chance[words].argmax(1)
            confidence[i] = chance[words].max(1).min()
            scores[i] = (chance[words, 1::2] + chance[words, 2::2]).max(0).clip(0, 1)
            spans = _spans(best, pieces[words, 1], _ends(pieces, words))
            values.append(task.check([{"start": start, "end": end, "label": classes[c]} for start, end, c in spans]))
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
        """The head learns faster than the encoder."""
        encoder, head = network.get_submodule("transformer"), network.get_submodule("head")
        return [
            {"params": [each for each in encoder.parameters() if each.requires_grad]},
            {"params": list(head.parameters()), "lr": self.head_learning_rate},
        ]


def _begins(text: str, offsets: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each word piece begins a word: behind white space, beside punctuation, and in scripts that set no spaces.

    Letters without case (`Lo`: Chinese, kana, Thai, but also Arabic) are such scripts: each of their pieces counts as a word.
    """
    found, last = [], -1
    for start, end in offsets:
        if start == end:
            found.append(False)
            continue
        found.append(start != last or _apart(text[start]) or _apart(text[last - 1]))
        last = end
    return found


def _with_marks(text: str, end: int) -> int:
    """The end behind the combining marks that follow: tokenizers that drop accents leave them outside."""
    while end < len(text) and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end


def _apart(character: str) -> bool:
    """Whether a word may begin or end beside the character: it is no letter with case, no digit and no combining mark."""
    category = unicodedata.category(character)
    return category == "Lo" or category[0] in "PSZC"


def _ends(pieces: NDArray[Any], words: NDArray[np.int64]) -> NDArray[Any]:
    """`(w,)` where each word ends: the end of its last piece."""
    return np.maximum.reduceat(pieces[:, 2], words)


def _spans(labels: NDArray[np.int64], starts: NDArray[Any], ends: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Start, end and class of each run of words."""
    found: list[tuple[int, int, int]] = []
    before = 0
    for label, start, end in zip(labels.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if label:
            inside = label % 2 == 0 and (before + 1) // 2 == label // 2
            found.append((found.pop()[0] if inside else start, end, (label - 1) // 2))
        before = label
    return found
