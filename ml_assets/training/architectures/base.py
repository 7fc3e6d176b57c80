"""What an architecture is: hyper-parameters as typed fields, a search space, a network."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from pydantic import Field

from ml_assets.registry import Plugin

if TYPE_CHECKING:
    import optuna
    from torch import nn


class Architecture(Plugin):
    """A neural network and how it is optimised (AdamW, cosine schedule). Every field can be set in the YAML."""

    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of AdamW."""
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    """Share of each target that is spread over all classes."""
    epochs: int = Field(60, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(64, ge=1)
    """Samples per optimisation step."""

    @abstractmethod
    def network(self, inputs: int, outputs: int) -> "nn.Module":
        """A module from `(batch, inputs) float32` to `(batch, outputs)` logits."""

    @abstractmethod
    def suggest(self, trial: "optuna.Trial") -> Self:
        """A copy with the hyper-parameters that this trial tries."""
