"""Encoders of texts: sentence-transformers models, of the beginning of a text or of several windows of it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.modalities.encoders.base import WordPieces, unit
from ml_assets.modalities.encoders.packages import PACKAGED, folder_of
from ml_assets.modalities.encoders.sentence_models import SentenceModel, in_torch, sentence_model
from ml_assets.modalities.encoders.unknown import unknown_letters

if TYPE_CHECKING:
    import torch

WINDOWED = re.compile(r"(?P<model>.+)\*(?P<windows>[1-9][0-9]?)")
"""The name of an encoder that reads texts in several windows, such as `minilm*8`."""


class TextEncoder(WordPieces):
    """A sentence-transformers model: mean-pooled, normalised sentence embeddings."""

    name: str
    dimensions: int
    weights: str
    max_tokens: int = 128
    """Word pieces of one window, with the model's own marks."""
    windows: int = 1
    """How many windows of a text are read at most; their vectors are averaged."""

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages that hold the weights of a packaged model."""
        model, _ = windowed(self.name)
        return tuple(PACKAGED[model].inside) if model in PACKAGED else ()

    @property
    def lasting(self) -> bool:
        """Not of a folder, with windows or without."""
        model, _ = windowed(self.name)
        return model in PACKAGED or not Path(model).exists()

    def encode(self, items: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32`, unit length. Sorted by length inside, so mixed lengths cost no padding.

        A text of several windows has the mean of their vectors, each weighed by its word pieces.
        """
        if not items:
            return np.zeros((0, self.dimensions), np.float32)
        if self.windows == 1:
            return self._of_windows(items)
        cut = [self._cut(pairs)[: self.windows] for _, pairs in self._whole(items)]
        parts = [item[start:end] for item, windows in zip(items, cut, strict=True) for start, end, _ in windows]
        weights = np.array([count for windows in cut for _, _, count in windows], np.float32)[:, None]
        starts = np.cumsum([0, *(len(windows) for windows in cut[:-1])])
        return unit(np.add.reduceat(self._of_windows(parts) * weights, starts))

    def unread(self, items: Sequence[str]) -> NDArray[np.float64]:
        """`(n,)` share of each text's word pieces that stand behind what is read of it."""
        counts = np.array([max(len(pairs), 1) for _, pairs in self._whole(items)], float)
        return np.maximum(0.0, 1.0 - self.windows * self._pieces_of_a_window() / counts)

    def unknown(self, items: Sequence[str]) -> NDArray[np.float64]:
        """`(n,)` share of each text's letters in unknown word pieces, or spelt letter by letter.

        A tokenizer that was made without a language knows its letters at best, and a word that is spelt letter by letter means
        nothing to the encoder. That it knows a language which shares its letters with others is not said.
        """
        piece = self._model().about.unknown
        return np.array(
            [unknown_letters(text, *cut, piece) for text, cut in zip(items, self._whole(items), strict=True)], float
        )

    def _of_windows(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32`, unit length, of the beginning of each text."""
        # not in the model: bfloat16 has three digits, and lengths would be off by as much
        return unit(self._model().vectors(texts))

    def _whole(self, items: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Ids of the word pieces of the whole texts, without the model's marks, and where each stands."""
        return [(found.ids, found.offsets) for found in self._model().whole(items)] if items else []

    def _pieces_of_a_window(self) -> int:
        """Word pieces of the text that one window holds beside the model's own marks."""
        return self.max_tokens - self._model().marks

    def _cut(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """First character, the one behind the last, and the word pieces of each window; at least one window."""
        size = self._pieces_of_a_window()
        found = [(part[0][0], part[-1][1], len(part)) for i in range(0, len(pairs), size) if (part := pairs[i : i + size])]
        return found or [(0, 0, 1)]

    def pieces(self, items: Sequence[str]) -> list[list[int]]:
        """Ids of the model's tokenizer, its marks at both ends included; at most `max_tokens`."""
        return [found.ids for found in self._model().cut(items)] if items else []

    def offsets(self, items: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where each word piece stands in the text as it is given, though the tokenizer may fold case and accents."""
        return [found.offsets for found in self._model().cut(items)] if items else []

    def word_vectors(self) -> "torch.Tensor":
        """The model's input embeddings."""
        import torch

        embeddings = self._in_torch().get_input_embeddings()
        return cast("torch.Tensor", embeddings.weight.detach().to("cpu", torch.float32, copy=True))

    def transformer(self) -> Any:
        """A copy of the Hugging Face model, without the layer behind its first output."""
        import copy

        model = copy.deepcopy(self._in_torch()).cpu().float().train().requires_grad_()
        if getattr(model, "pooler", None) is not None:
            model.pooler = None
        return model

    def _model(self) -> SentenceModel:
        return sentence_model(self.weights, self.max_tokens)

    def _in_torch(self) -> Any:
        return in_torch(self.weights, self.max_tokens)[0].auto_model


def text_encoder(name: str) -> TextEncoder:
    """The encoder of that name. Raises `InvalidValue` if it cannot be had."""
    model, windows = windowed(name)
    if model in PACKAGED:
        dimensions: Any = PACKAGED[model].dimensions
        return TextEncoder(name=name, dimensions=dimensions, weights=str(folder_of(model)), windows=windows)
    try:
        dimensions = sentence_model(model, 128).about.dimensions
    except (OSError, ValueError) as error:
        choices = ", ".join(sorted(PACKAGED))
        why = f" ({error})" if isinstance(error, MLAssetsError) else ""
        raise InvalidValue(
            f"cannot load the text encoder {model!r}: choose {choices}, a folder, or a model of the Hugging Face Hub{why}"
        ) from error
    return TextEncoder(name=name, dimensions=dimensions, weights=model, windows=windows)


def windowed(name: str) -> tuple[str, int]:
    """The model of an encoder's name, and in how many windows it reads a text at most."""
    found = WINDOWED.fullmatch(name)
    return (found["model"], int(found["windows"])) if found else (name, 1)
