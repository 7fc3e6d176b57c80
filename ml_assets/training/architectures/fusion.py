"""Several inputs joined: each part of a mixed sample is projected by itself, then all are read together."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.errors import InvalidValue
from ml_assets.modalities import Encoder, MixedEncoder
from ml_assets.training.architectures.base import Architecture

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn


class Fusion(Architecture):
    """Joins the frozen embeddings of a mixed sample's parts. Parts may be missing, in training and when it predicts.

    Each part is brought to the same width by a layer of its own; one that is missing has a learnt vector in its place. In
    training, parts are left out now and then, so that the network does not lean on one alone (Neverova et al. 2016, §3.3).
    """

    name_in_yaml: ClassVar[str] = "fusion"
    modalities: ClassVar[tuple[str, ...]] = ("mixed",)

    width: int = Field(64, ge=1, le=4096)
    """Units to which each part is brought."""
    hidden: int = Field(128, ge=1, le=65_536)
    """Units of the hidden layer that reads all parts."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of units that are dropped in training, before and behind the hidden layer."""
    part_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of parts that are left out in training."""
    epochs: int = Field(40, ge=1, le=10_000)
    """Passes over the training samples."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Per part Linear, GELU, LayerNorm; then Dropout, Linear, GELU, Dropout, Linear."""
        import torch
        from torch import nn

        blocks = list(_mixed(encoder).blocks.values())
        width, left_out = self.width, self.part_dropout

        class Joined(nn.Module):  # type: ignore[misc]
            def __init__(self, options: "Fusion") -> None:
                super().__init__()
                sizes = [block.stop - block.start for block in blocks]
                self.parts = nn.ModuleList(
                    nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.LayerNorm(width)) for size in sizes
                )
                self.missing = nn.Parameter(torch.zeros(len(blocks), width))
                self.head = nn.Sequential(
                    nn.Dropout(options.dropout),
                    nn.Linear(len(blocks) * width, options.hidden),
                    nn.GELU(),
                    nn.Dropout(options.dropout),
                    nn.Linear(options.hidden, outputs),
                )

            def forward(self, vectors: "torch.Tensor") -> "torch.Tensor":
                found = []
                for block, part, missing in zip(blocks, self.parts, self.missing, strict=True):
                    vector = vectors[:, block]
                    norm = vector.norm(dim=1, keepdim=True)
                    there = norm > 0
                    if self.training and left_out:
                        there = there & (torch.rand_like(norm) >= left_out)
                    # of the same size whatever the part's dimensions and however many parts there are
                    scaled = vector / norm.clamp(min=1e-12) * vector.shape[1] ** 0.5
                    found.append(torch.where(there, part(scaled), missing))
                logits: torch.Tensor = self.head(torch.cat(found, dim=1))
                return logits

        return Joined(self)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Width, dropouts and learning rate."""
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
