"""The encoders' networks as torch modules. This file imports torch, so it is imported inside functions only."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class EfficientNetLite(nn.Module):  # type: ignore[misc]
    """A module from `(batch, 3, h, w) uint8` pictures to `(batch, 1280)`, the mean of an EfficientNet-Lite's features."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        # normalization as in training: mean 127, deviation 128 for all colours (tensorflow/tpu, efficientnet/lite)
        normal = ((batch.float() - 127) / 128).contiguous(memory_format=torch.channels_last)
        return self.model.extract_features(normal).mean((2, 3))


class PictureTransformer(nn.Module):  # type: ignore[misc]
    """A module from `(batch, 3, size, size) uint8` pictures to `(batch, dimensions)`, the mean of a model's last hidden state.

    Args:
        model: A `transformers` model of pictures.
        size: Width and height of its input in pixels.
        mean: Mean of each colour channel for normalization, 0 to 1.
        deviation: Standard deviation of each colour channel, likewise.
    """

    def __init__(self, model: Any, size: int, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.size = size
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        hidden = self.model(pixel_values=(batch.float() / 255 - self.mean) / self.deviation).last_hidden_state
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)


class SoundTransformer(nn.Module):  # type: ignore[misc]
    """A module from `(batch, …)` arrays of a feature extractor to `(batch, dimensions)`, a model's mean over time.

    Args:
        model: A `transformers` model of sounds.
        extractor: Its feature extractor.
    """

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__()
        self.model = model.float()
        self.extractor = extractor
        self.rate = int(extractor.sampling_rate)
        self.reads = str(extractor.model_input_names[0])

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model(**{self.reads: batch}).last_hidden_state.mean(1)


class SentenceEmbedding(nn.Module):  # type: ignore[misc]
    """A module from `(batch, t)` word pieces and their mask to `(batch, dimensions)` sentence embeddings."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]
