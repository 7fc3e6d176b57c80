"""The architecture `image_cnn`: a small residual network (He et al. 2016, arXiv:1512.03385), trained from scratch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.modalities.image import arrays
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    from torch import nn


class ImageCNN(Architecture):
    """Convolutional network for small or simple pictures. For photographs with few labels take `mlp` or `fine_tune`."""

    name_in_yaml: ClassVar[str] = "image_cnn"
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    embedded: ClassVar[bool] = False
    predict_batch: ClassVar[int] = 256

    learning_rate: float = Field(3e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(5e-2, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the training samples."""
    size: int = Field(32, ge=8, le=512)
    """Width and height to which pictures are resized, pixels."""
    channels: Literal[1, 3] = 3
    """3 reads pictures in colour, 1 in grey."""
    width: int = Field(16, ge=1, le=1024)
    """Filters of the first stage; the second has twice, the third four times as many."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of features that are dropped before the last layer in training."""
    shift: float = Field(0.08, ge=0, le=1)
    """Maximum random shift of pictures in training, as a share of their size."""
    rotation: float = Field(12.0, ge=0, le=180)
    """Maximum random rotation of pictures in training, degrees."""
    zoom: float = Field(0.12, ge=0, lt=1)
    """Maximum random change of the size of pictures in training, as a share."""
    mirror: bool = False
    """Whether half of the pictures are mirrored in training; for objects whose left and right mean nothing."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[np.uint8]:
        """`(n, channels, size, size) uint8` pictures."""
        return arrays(items, self.size, self.channels)

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Three stages of two residual blocks, mean over the picture, Dropout, Linear; normalizes the pixels itself."""
        from ml_assets.training.architectures.networks.image_cnn import ImageCNNModule

        return ImageCNNModule(
            outputs,
            channels=self.channels,
            width=self.width,
            dropout=self.dropout,
            shift=self.shift,
            rotation=self.rotation,
            zoom=self.zoom,
            mirror=self.mirror,
        )

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample learning rate, dropout, weight decay and rotation."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 1e-3, 6e-3, log=True),
                "weight_decay": trial.suggest_float("weight_decay", 1e-2, 2e-1, log=True),
                "dropout": trial.suggest_float("dropout", 0.0, 0.4),
                "rotation": trial.suggest_float("rotation", 0.0, 20.0),
            }
        )
