"""Reads a text from both ends with an LSTM (Hochreiter & Schmidhuber 1997) and keeps the strongest state of each unit."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.training.architectures.base import TextArchitecture, frozen_words

if TYPE_CHECKING:
    import optuna
    import torch
    from torch import nn


class BiLSTM(TextArchitecture):
    """Recurrent network that knows the order of words. Slower than `text_cnn` on long texts."""

    name_in_yaml: ClassVar[str] = "bilstm"
    half: ClassVar[bool] = False

    epochs: int = Field(12, ge=1, le=10_000)
    """Passes over the training samples."""
    batch_size: int = Field(32, ge=1)
    """Samples per optimisation step."""
    hidden: int = Field(128, ge=1, le=65_536)
    """Units of each direction."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of inputs and of states that are dropped in training."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """The encoder's word vectors (frozen), Dropout, LSTM in both directions, max over the text, Dropout, Linear."""
        from torch import nn
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        options = self

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.words = frozen_words(encoder, options.dropout)
                self.dropout = nn.Dropout(options.dropout)
                self.lstm = nn.LSTM(self.words.size, options.hidden, batch_first=True, bidirectional=True)
                self.head = nn.Linear(2 * options.hidden, outputs)

            def forward(self, ids: "torch.Tensor") -> "torch.Tensor":
                inputs, mask = self.words(ids)
                lengths = mask.sum(1).clamp(min=1).cpu()
                packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
                states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=float("-inf"))
                logits: torch.Tensor = self.head(self.dropout(states.amax(1)))
                return logits.float()

        return Network()

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Hidden units, dropout and learning rate."""
        return self.model_copy(
            update={
                "hidden": trial.suggest_categorical("hidden", [64, 128, 256]),
                "dropout": trial.suggest_float("dropout", 0.3, 0.6),
                "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            }
        )
