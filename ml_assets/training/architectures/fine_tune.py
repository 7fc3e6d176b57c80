"""The architecture `fine_tune`: trains all weights of the encoder, with a linear head on its mean output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.errors import InvalidValue
from ml_assets.modalities import Backbone, Encoder, WordPieces
from ml_assets.training.architectures.base import PAD, TextArchitecture

if TYPE_CHECKING:
    import optuna
    from torch import nn


class FineTune(TextArchitecture):
    """Fine-tunes the encoder: best where its frozen embedding lacks what matters, such as sentiment; takes minutes."""

    name_in_yaml: ClassVar[str] = "fine_tune"
    modalities: ClassVar[tuple[str, ...]] = ("text", "image", "audio")

    learning_rate: float = Field(1e-4, gt=0, le=1)
    """Peak learning rate of the encoder's weights."""
    head_learning_rate: float = Field(1e-3, gt=0, le=1)
    """Peak learning rate of the head."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises to its peak."""
    epochs: int = Field(4, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(16, ge=1)
    """Samples per optimisation step."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the mean output that is dropped in training."""

    def inputs(self, items: Sequence[Any], encoder: Encoder) -> NDArray[Any]:
        """Word pieces of texts; for pictures and sounds the arrays that the encoder's network reads."""
        return encoder.arrays(items) if isinstance(encoder, Backbone) else super().inputs(items, _trainable(encoder))

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` number of word pieces of each text; None for pictures and sounds, which all cost the same."""
        return np.asarray((inputs != PAD).sum(1)) if inputs.dtype == np.int32 else None

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """A copy of the encoder's network, mean over word pieces, picture or time, Dropout, Linear."""
        from ml_assets.training.architectures.networks.fine_tune import FineTunedBackbone, FineTunedTransformer

        if isinstance(encoder, Backbone):
            return FineTunedBackbone(encoder.backbone(), encoder.dimensions, outputs, self.dropout)
        return FineTunedTransformer(_trainable(encoder).transformer(), outputs, self.dropout)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample the learning rates of encoder and head, and dropout."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 3e-5, 2e-4, log=True),
                "head_learning_rate": trial.suggest_float("head_learning_rate", 3e-4, 3e-3, log=True),
                "dropout": trial.suggest_float("dropout", 0.0, 0.3),
            }
        )

    def parameters(self, network: "nn.Module") -> list[dict[str, Any]]:
        """Two groups of parameters: the encoder, and the head with its own learning rate."""
        encoder, head = network.get_submodule("transformer"), network.get_submodule("head")
        return [
            {"params": list(encoder.parameters())},
            {"params": list(head.parameters()), "lr": self.head_learning_rate},
        ]


def _trainable(encoder: Encoder) -> WordPieces:
    if not isinstance(encoder, WordPieces):
        raise InvalidValue(f"the encoder {encoder.name!r} has no network that fine_tune can train on")
    return encoder
