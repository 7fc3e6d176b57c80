"""Encoders of texts: sentence-transformers models that read the beginning of a text or several windows of it."""

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
"""Matches the name of an encoder that reads texts in several windows, such as `minilm*8`."""


class TextEncoder(WordPieces):
    """An encoder by a sentence-transformers model, with normalized sentence embeddings."""

    name: str
    dimensions: int
    weights: str
    max_tokens: int = 128
    """Maximum number of word pieces in one window, including special tokens."""
    windows: int = 1
    """Maximum number of windows that are read of a text; their vectors are averaged."""

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages that contain the model's weights; empty for a model from a folder or the Hub."""
        model, _ = windowed(self.name)
        return tuple(PACKAGED[model].inside) if model in PACKAGED else ()

    @property
    def lasting(self) -> bool:
        """Whether its name means the same vectors in every project; not so for a folder, with windows or without."""
        model, _ = windowed(self.name)
        return model in PACKAGED or not Path(model).exists()

    def encode(self, items: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of unit length; texts may have mixed lengths, as they are sorted inside.

        For a text of several windows, their vectors are averaged, weighted by the number of word pieces.
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
        """`(n,)` share of each text's word pieces that lie beyond the last window."""
        counts = np.array([max(len(pairs), 1) for _, pairs in self._whole(items)], float)
        return np.maximum(0.0, 1.0 - self.windows * self._pieces_of_a_window() / counts)

    def unknown(self, items: Sequence[str]) -> NDArray[np.float64]:
        """`(n,)` share of each text's letters that are in unknown word pieces, or spelt letter by letter.

        A tokenizer that was made without a language knows its letters at best, and a word that is spelt letter by letter means
        nothing to the encoder. A low share does not prove that it knows a language which shares its letters with others.
        """
        piece = self._model().about.unknown
        return np.array(
            [unknown_letters(text, *cut, piece) for text, cut in zip(items, self._whole(items), strict=True)], float
        )

    def _of_windows(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of unit length of the first window of each text."""
        # normalized in float32: in bfloat16, with its three digits, lengths would be inaccurate
        return unit(self._model().vectors(texts))

    def _whole(self, items: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Ids and offsets of the word pieces of the whole texts, without special tokens."""
        return [(found.ids, found.offsets) for found in self._model().whole(items)] if items else []

    def _pieces_of_a_window(self) -> int:
        """Number of the text's word pieces in one window, without special tokens."""
        return self.max_tokens - self._model().marks

    def _cut(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """Start, end (exclusive) and number of word pieces of each window; at least one window."""
        size = self._pieces_of_a_window()
        found = [(part[0][0], part[-1][1], len(part)) for i in range(0, len(pairs), size) if (part := pairs[i : i + size])]
        return found or [(0, 0, 1)]

    def pieces(self, items: Sequence[str]) -> list[list[int]]:
        """Ids of the word pieces with special tokens, truncated to `max_tokens`."""
        return [found.ids for found in self._model().cut(items)] if items else []

    def offsets(self, items: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Start and end of each word piece in the text as given, even if the tokenizer folds case and accents."""
        return [found.offsets for found in self._model().cut(items)] if items else []

    def word_vectors(self) -> "torch.Tensor":
        """The model's input embeddings, `(vocabulary, d) float32`."""
        import torch

        embeddings = self._in_torch().get_input_embeddings()
        return cast("torch.Tensor", embeddings.weight.detach().to("cpu", torch.float32, copy=True))

    def transformer(self) -> Any:
        """A trainable copy of the Hugging Face model, without the pooling layer."""
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
    """The text encoder with this name. Raises `InvalidValue` if it is not available."""
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
    """Split an encoder's name into the model and its maximum number of windows."""
    found = WINDOWED.fullmatch(name)
    return (found["model"], int(found["windows"])) if found else (name, 1)
