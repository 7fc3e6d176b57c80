"""Convolutions over the word pieces of a text, the strongest answer of each filter kept (Kim 2014, arXiv:1408.5882)."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from ml_assets.modalities import Encoder
from ml_assets.training.architectures.base import TextArchitecture, frozen_words

if TYPE_CHECKING:
    import optuna
    import torch
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
    """How many neighbouring word pieces the filters see."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of inputs and of filters' answers that are dropped in training."""

    def network(self, encoder: Encoder, outputs: int) -> "nn.Module":
        """The encoder's word vectors (frozen), Dropout, one Conv1d and max per width, Dropout, Linear."""
        import torch
        from torch import nn

        options = self

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.words = frozen_words(encoder, options.dropout)
                size, filters = self.words.size, options.filters
                self.convolutions = nn.ModuleList(nn.Conv1d(size, filters, w, padding=w - 1) for w in options.widths)
                self.dropout = nn.Dropout(options.dropout)
                self.head = nn.Linear(filters * len(options.widths), outputs)

            def forward(self, ids: "torch.Tensor") -> "torch.Tensor":
                inputs, mask = self.words(ids)
                inputs = (inputs * mask.unsqueeze(2)).transpose(1, 2)
                answers = [convolution(inputs).relu().amax(2) for convolution in self.convolutions]
                logits: torch.Tensor = self.head(self.dropout(torch.cat(answers, 1)))
                return logits.float()

        return Network()

    def suggest(self, trial: "optuna.Trial") -> Self:
        """Filters, dropout and learning rate."""
        return self.model_copy(
            update={
                "filters": trial.suggest_categorical("filters", [64, 128, 256]),
                "dropout": trial.suggest_float("dropout", 0.3, 0.6),
                "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            }
        )
