"""The encoder itself, trained on: all its weights move, and a linear head on its mean output is learnt beside them."""

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
    """Fine-tunes the encoder. Best where its frozen embedding does not say what matters, such as sentiment; takes minutes."""

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
        """Word pieces of texts; of pictures and sounds the arrays that the encoder's network reads."""
        return encoder.arrays(items) if isinstance(encoder, Backbone) else super().inputs(items, _trainable(encoder))

    def lengths(self, inputs: NDArray[Any]) -> NDArray[np.int64] | None:
        """`(n,)` how many word pieces each text has; None of pictures and sounds, which all cost the same."""
        return np.asarray((inputs != PAD).sum(1)) if inputs.dtype == np.int32 else None

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """A copy of the encoder's network, mean over the word pieces, the picture or the time, Dropout, Linear."""
        from ml_assets.training.architectures.networks.fine_tune import FineTunedBackbone, FineTunedTransformer

        if isinstance(encoder, Backbone):
            return FineTunedBackbone(encoder.backbone(), encoder.dimensions, outputs, self.dropout)
        return FineTunedTransformer(_trainable(encoder).transformer(), outputs, self.dropout)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Learning rates and epochs."""
        return self.model_copy(
            update={
                "learning_rate": trial.suggest_float("learning_rate", 3e-5, 2e-4, log=True),
                "head_learning_rate": trial.suggest_float("head_learning_rate", 3e-4, 3e-3, log=True),
                "dropout": trial.suggest_float("dropout", 0.0, 0.3),
            }
        )

    def parameters(self, network: "nn.Module") -> list[dict[str, Any]]:
        """The head learns faster than the encoder."""
        encoder, head = network.get_submodule("transformer"), network.get_submodule("head")
        return [
            {"params": list(encoder.parameters())},
            {"params": list(head.parameters()), "lr": self.head_learning_rate},
        ]


def _trainable(encoder: Encoder) -> WordPieces:
    if not isinstance(encoder, WordPieces):
        raise InvalidValue(f"the encoder {encoder.name!r} has no network that fine_tune can train on")
    return encoder
