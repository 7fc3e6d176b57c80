"""The architecture `text_cnn`: convolutions over word pieces with max pooling (Kim 2014, arXiv:1408.5882)."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.training.architectures.base import TextArchitecture, reader

if TYPE_CHECKING:
    import optuna
    from torch import nn


class TextCNN(TextArchitecture):
    """Convolutional network that sees a few neighbouring word pieces at a time. Small and quick, also without a GPU."""

    name_in_yaml: ClassVar[str] = "text_cnn"

    epochs: int = Field(15, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(32, ge=1)
    """Samples per optimisation step."""
    filters: int = Field(128, ge=1, le=65_536)
    """Filters of each width."""
    widths: tuple[int, ...] = Field((2, 3, 4), min_length=1)
    """Numbers of neighbouring word pieces that the filters see."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of inputs and of filters' answers that are dropped in training."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Frozen word vectors of the encoder, Dropout, one Conv1d and max per width, Dropout, Linear."""
        from ml_assets.training.architectures.networks.text_cnn import TextCNNModule

        return TextCNNModule(reader(encoder).word_vectors(), outputs, self.filters, self.widths, self.dropout)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample filters, dropout and learning rate."""
        return self.model_copy(
            update={
                "filters": trial.suggest_categorical("filters", [64, 128, 256]),
                "dropout": trial.suggest_float("dropout", 0.3, 0.6),
                "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            }
        )
