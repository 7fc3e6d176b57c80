"""Runs sentence-transformers models: with OpenVINO on a CPU, with torch on a GPU."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import ON_A_GPU, device, has_bfloat16, limit_threads, on_a_gpu
from ml_assets.errors import InvalidValue
from ml_assets.modalities.encoders.hub import ask_hub

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

BATCH = 32
"""Number of texts per batch in torch on a CPU."""

logger = logging.getLogger("ml_assets.encoders")


class About(NamedTuple):
    """Properties of a model beside its weights.

    Args:
        dimensions: Number of dimensions of its vectors.
        unknown: Id of the word piece for unknown text, if there is one.
        padding: Id of the padding word piece.
    """

    dimensions: int
    unknown: int | None
    padding: int


class SentenceModel(ABC):
    """Base class of sentence models, which tokenize and embed texts."""

    def __init__(self, tokenizer: str, about: About, max_tokens: int):
        from tokenizers import Tokenizer

        self.about = about
        self.max_tokens = max_tokens
        self.tokenizer = Tokenizer.from_str(tokenizer)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.cutting = Tokenizer.from_str(self.tokenizer.to_str())
        self.cutting.enable_truncation(max_tokens)

    @property
    def marks(self) -> int:
        """Number of special tokens that the model adds to a text."""
        return int(self.tokenizer.num_special_tokens_to_add(False))

    def whole(self, texts: Sequence[str]) -> list[Any]:
        """The encodings (`ids`, `offsets`) of whole texts, without special tokens."""
        return list(self.tokenizer.encode_batch(list(texts), add_special_tokens=False))

    def cut(self, texts: Sequence[str]) -> list[Any]:
        """The encodings of texts as the model reads them: with special tokens, truncated to `max_tokens`."""
        return list(self.cutting.encode_batch(list(texts)))

    @abstractmethod
    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of at least one text."""


class InTorch(SentenceModel):
    """A sentence model that runs in torch, on a GPU or a CPU."""

    def __init__(self, weights: str, max_tokens: int):
        self.model = in_torch(weights, max_tokens)
        super().__init__(*described(self.model), max_tokens)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors, computed by sentence-transformers, which sorts the texts by length."""
        size = BATCH * (ON_A_GPU if self.model.device.type == "cuda" else 1)
        return np.asarray(self.model.encode(list(texts), batch_size=size, show_progress_bar=False), dtype=np.float32)


@lru_cache(maxsize=8)
def sentence_model(weights: str, max_tokens: int) -> SentenceModel:
    """The model of a folder or of the Hugging Face Hub, in the fastest available runtime. Raises `OSError` or `ValueError`."""
    if not on_a_gpu():
        from ml_assets.modalities.encoders.in_openvino import Damaged, InOpenVINO
        from ml_assets.modalities.encoders.translation import translated

        if (folder := translated(weights)) is not None:
            try:
                return InOpenVINO(folder, weights, max_tokens)
            except Damaged as error:
                logger.warning("the translated encoder %s is damaged (%s), so that torch embeds", folder, error)
    return InTorch(weights, max_tokens)


@lru_cache(maxsize=4)
def in_torch(weights: str, max_tokens: int) -> "SentenceTransformer":
    """The model in torch, on the device for networks; also for fine-tuning. Raises `OSError` or `ValueError`."""
    import torch

    where = device()
    return loaded(weights, max_tokens, where, torch.bfloat16 if has_bfloat16(where) else torch.float32)


def loaded(weights: str, max_tokens: int, where: "torch.device", dtype: "torch.dtype") -> "SentenceTransformer":
    """Load the model in torch on this device in this precision. Raises `OSError` or `ValueError`."""
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.utils.logging.disable_progress_bar()
    limit_threads()
    load = partial(SentenceTransformer, weights, device=str(where), model_kwargs={"dtype": dtype})
    try:
        model = load(local_files_only=True)
    except (OSError, ValueError):
        if Path(weights).exists():
            raise
        ask_hub(weights)
        model = load()
    model.max_seq_length = max_tokens
    return model


def described(model: "SentenceTransformer") -> tuple[str, About]:
    """The model's tokenizer as JSON, and its properties. Raises `ValueError` if the tokenizer gives no offsets."""
    tokenizer: Any = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise InvalidValue("its tokenizer does not tell where word pieces stand: it has no tokenizer.json")
    dimensions = int(model.get_embedding_dimension() or 0)
    return tokenizer.backend_tokenizer.to_str(), About(dimensions, tokenizer.unk_token_id, tokenizer.pad_token_id or 0)
