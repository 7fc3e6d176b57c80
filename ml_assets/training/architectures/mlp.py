"""The architecture `mlp`: one hidden layer on frozen embeddings, with layer norm and dropout."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    from torch import nn


class MLP(Architecture):
    """Multi-layer perceptron with one hidden layer on the frozen embedding. Trains in seconds."""

    name_in_yaml: ClassVar[str] = "mlp"

    hidden: int = Field(256, ge=1, le=65_536)
    """Units of the hidden layer."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of inputs and of hidden units that are dropped in training."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """LayerNorm, Dropout, Linear, GELU, Dropout, Linear."""
        from ml_assets.training.architectures.networks.mlp import MLPModule

        return MLPModule(encoder.dimensions, outputs, self.hidden, self.dropout)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample hidden units, dropout, learning rate and weight decay, in ranges that suit a few hundred labels."""
        return self.model_copy(
            update={
                "hidden": trial.suggest_categorical("hidden", [128, 256, 512]),
                "dropout": trial.suggest_float("dropout", 0.1, 0.5),
                "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
                "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1e-1, log=True),
            }
        )
