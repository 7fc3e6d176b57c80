"""The architecture `audio_cnn`: convolutions over the mel spectrogram of a sound, trained from scratch."""

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
    from torch import nn


class AudioCNN(Architecture):
    """Convolutional network for short sounds: a word, a call, a noise. Unlike `mel_statistics` it reads changes over time."""

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
    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(32, ge=1)
    """Samples per optimisation step."""
    rate: int = Field(16_000, ge=1_000, le=768_000)
    """Sampling rate to which sounds are resampled, Hz."""
    seconds: float = Field(3.0, gt=0, le=60)
    """Length of each sound that is read, from its beginning."""
    mels: int = Field(64, ge=8, le=256)
    """Number of mel bands of the spectrogram."""
    width: int = Field(16, ge=1, le=1024)
    """Filters of the first layer; the following have twice, three and four times as many."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of features that are dropped before the last layer in training."""
    shift: float = Field(0.2, ge=0, le=1)
    """Maximum random shift in time in training, as a share of `seconds`; the end wraps around to the beginning."""
    masked: float = Field(0.2, ge=0, lt=1)
    """Maximum share of bands, and of the time, that is masked in training (SpecAugment, Park et al. 2019)."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.float32]:
        """`(n, mels, frames) float32` log-mel spectrograms."""
        return log_mel(items, self.rate, self.mels, self.seconds)

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Four convolutions over time and bands, mean and maximum over time, Dropout, Linear; the mean level is removed."""
        from ml_assets.training.architectures.networks.audio_cnn import AudioCNNModule

        return AudioCNNModule(
            outputs, mels=self.mels, width=self.width, dropout=self.dropout, shift=self.shift, masked=self.masked
        )

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample learning rate, weight decay, dropout and the masked share."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 6e-3, log=True),
                "weight_decay": trial.suggest_float("weight_decay", 1e-2, 2e-1, log=True),
                "dropout": trial.suggest_float("dropout", 0.1, 0.5),
                "masked": trial.suggest_float("masked", 0.0, 0.3),
            }
        )
