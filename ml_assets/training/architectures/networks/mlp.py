"""The torch module of `mlp`: one hidden layer on frozen embeddings."""

from torch import nn


class MLPModule(nn.Sequential):  # type: ignore[misc]
    """From `(batch, dimensions)` embeddings to `(batch, outputs)` logits: LayerNorm, Dropout, Linear, GELU, Dropout, Linear."""

    def __init__(self, dimensions: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(dimensions),
            nn.Dropout(dropout),
            nn.Linear(dimensions, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )
