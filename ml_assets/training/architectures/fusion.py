"""The architecture `fusion`: projects the embedding of each part of a mixed sample, then joins them."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.errors import InvalidValue
from ml_assets.modalities import Encoder, MixedEncoder
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    from torch import nn


class Fusion(Architecture):
    """Joins the frozen embeddings of a mixed sample's parts, any of which may be missing in training and in prediction.

    Each part is brought to the same width by a layer of its own; one that is missing has a learnt vector in its place. In
    training, parts are left out now and then, so that the network does not lean on one alone (Neverova et al. 2016, §3.3).
    """

    name_in_yaml: ClassVar[str] = "fusion"
    modalities: ClassVar[tuple[str, ...]] = ("mixed",)

    width: int = Field(64, ge=1, le=4096)
    """Units to which each part is projected."""
    hidden: int = Field(128, ge=1, le=65_536)
    """Units of the hidden layer that reads all parts."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of units that are dropped in training, before and after the hidden layer."""
    part_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of parts that are left out in training."""
    epochs: int = Field(40, ge=1, le=10_000)
    """Passes over the training samples."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """For each part Linear, GELU, LayerNorm; then, for all together, Dropout, Linear, GELU, Dropout, Linear."""
        from ml_assets.training.architectures.networks.fusion import FusionModule

        return FusionModule(
            list(_mixed(encoder).blocks.values()),
            outputs,
            width=self.width,
            hidden=self.hidden,
            dropout=self.dropout,
            part_dropout=self.part_dropout,
        )

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample width, both dropouts and learning rate."""
        return self.model_copy(
            update={
                "width": trial.suggest_categorical("width", [32, 64, 128]),
                "dropout": trial.suggest_float("dropout", 0.1, 0.5),
                "part_dropout": trial.suggest_float("part_dropout", 0.0, 0.3),
                "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            }
        )


def _mixed(encoder: Encoder) -> MixedEncoder:
    if not isinstance(encoder, MixedEncoder):
        raise InvalidValue(f"the encoder {encoder.name!r} has no parts that fusion could join")
    return encoder
