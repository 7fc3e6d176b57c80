"""The architecture `bilstm`: a bidirectional LSTM (Hochreiter & Schmidhuber 1997) over word pieces, with max pooling."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.training.architectures.base import TextArchitecture, reader

if TYPE_CHECKING:
    import optuna
    from torch import nn


class BiLSTM(TextArchitecture):
    """Recurrent network that reads words in their order. Slower than `text_cnn` on long texts."""

    name_in_yaml: ClassVar[str] = "bilstm"
    mixed_precision: ClassVar[bool] = False

    epochs: int = Field(12, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(32, ge=1)
    """Samples per optimisation step."""
    hidden: int = Field(128, ge=1, le=65_536)
    """Units of the LSTM in each direction."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of inputs and of states that are dropped in training."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """Frozen word vectors of the encoder, Dropout, bidirectional LSTM, max over the text, Dropout, Linear."""
        from ml_assets.training.architectures.networks.bilstm import BiLSTMModule

        return BiLSTMModule(reader(encoder).word_vectors(), outputs, self.hidden, self.dropout)

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Sample hidden units, dropout and learning rate."""
        return self.model_copy(
            update={
                "hidden": trial.suggest_categorical("hidden", [64, 128, 256]),
                "dropout": trial.suggest_float("dropout", 0.3, 0.6),
                "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            }
        )
