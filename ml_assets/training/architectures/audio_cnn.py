"""Convolutions over the mel spectrogram of a sound, learnt from nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.modalities.audio import log_mel
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn


class AudioCNN(Architecture):
    """Convolutional network for short sounds: a word, a call, a noise. Knows how a sound moves, which `mel_statistics` does not."""

    name_in_yaml: ClassVar[str] = "audio_cnn"
    modalities: ClassVar[tuple[str, ...]] = ("audio",)
    embedded: ClassVar[bool] = False
    predict_batch: ClassVar[int] = 64

    learning_rate: float = Field(3e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(5e-2, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(30, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(32, ge=1)
    """Samples per optimisation step."""
    rate: int = Field(16_000, ge=1_000, le=768_000)
    """Samples per second to which sounds are brought, Hz."""
    seconds: float = Field(3.0, gt=0, le=60)
    """How much of each sound is heard, from its beginning."""
    mels: int = Field(64, ge=8, le=256)
    """Bands of the spectrogram."""
    width: int = Field(24, ge=1, le=1024)
    """Filters of the first layer; the following have twice, three and four times as many."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of features that are dropped before the last layer in training."""
    shift: float = Field(0.2, ge=0, le=1)
    """How far sounds are moved in time in training, at most, as a share of `seconds`; what falls out comes in at the other end."""
    masked: float = Field(0.2, ge=0, lt=1)
    """Share of bands, and of the time, that is blanked in training, at most (SpecAugment, Park et al. 2019)."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.float32]:
        """`(n, mels, frames) float32` logarithms of power."""
        return log_mel(items, self.rate, self.mels, self.seconds)

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Four convolutions over time and bands, mean and maximum over time, Dropout, Linear. It takes out the level itself."""
        import torch
        from torch import nn

        options = self

        def layer(before: int, after: int, stride: int) -> "nn.Module":
            return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                width = options.width
                self.layers = nn.Sequential(
                    layer(1, width, 2),
                    layer(width, 2 * width, 2),
                    layer(2 * width, 3 * width, 2),
                    layer(3 * width, 4 * width, 1),
                )
                bands = -(-options.mels // 8)
                self.across = nn.Sequential(
                    nn.Conv1d(4 * width * bands, 4 * width, 1, bias=False), nn.BatchNorm1d(4 * width), nn.ReLU(),
                    nn.Conv1d(4 * width, 4 * width, 3, padding=1, bias=False), nn.BatchNorm1d(4 * width), nn.ReLU(),
                )  # fmt: skip
                self.head = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(8 * width, outputs))

            def forward(self, batch: "torch.Tensor") -> "torch.Tensor":
                mel = batch.clamp(min=-8)
                mel = (mel - mel.mean((1, 2), keepdim=True)) / 2
                if self.training:
                    mel = disturbed(mel, options.shift, options.masked)
                found = self.layers(mel.unsqueeze(1).contiguous(memory_format=torch.channels_last))
                states = self.across(found.flatten(1, 2))
                logits: torch.Tensor = self.head(torch.cat([states.mean(2), states.amax(2)], 1))
                return logits.float()

        return Network()

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Learning rate, weight decay, dropout and how much is masked."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 6e-3, log=True),
                "weight_decay": trial.suggest_float("weight_decay", 1e-2, 2e-1, log=True),
                "dropout": trial.suggest_float("dropout", 0.1, 0.5),
                "masked": trial.suggest_float("masked", 0.0, 0.3),
            }
        )


def disturbed(mel: "torch.Tensor", shift: float, masked: float) -> "torch.Tensor":
    """`(batch, bands, frames)` spectrograms, each moved in time and with one stretch of bands and one of time set to 0."""
    import torch

    n, bands, frames = mel.shape
    moves = ((2 * torch.rand(n, 1) - 1) * shift * frames).long()
    at = (torch.arange(frames) + moves) % frames
    mel = mel.gather(2, at.unsqueeze(1).expand(n, bands, frames))
    for axis, size in ((1, bands), (2, frames)):
        length = torch.rand(n, 1) * masked * size
        start = torch.rand(n, 1) * (size - length)
        places = torch.arange(size)
        hidden = (places >= start) & (places < start + length)
        mel = mel.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return mel
