"""The torch module of `audio_cnn`, and its augmentation of spectrograms."""

import torch
from torch import nn


class AudioCNNModule(nn.Module):  # type: ignore[misc]
    """A network of four convolutions over time and bands, two over time, mean and maximum over time, Dropout, Linear.

    From `(batch, mels, frames)` logarithms of power to `(batch, outputs)` logits. It takes out the level itself.
    """

    def __init__(self, outputs: int, *, mels: int, width: int, dropout: float, shift: float, masked: float) -> None:
        super().__init__()
        self.shift, self.masked = shift, masked
        self.layers = nn.Sequential(
            _layer(1, width, 2),
            _layer(width, 2 * width, 2),
            _layer(2 * width, 3 * width, 2),
            _layer(3 * width, 4 * width, 1),
        )
        bands = -(-mels // 8)
        self.across = nn.Sequential(
            nn.Conv1d(4 * width * bands, 4 * width, 1, bias=False), nn.BatchNorm1d(4 * width), nn.ReLU(),
            nn.Conv1d(4 * width, 4 * width, 3, padding=1, bias=False), nn.BatchNorm1d(4 * width), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * width, outputs))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        mel = batch.clamp(min=-8)
        mel = (mel - mel.mean((1, 2), keepdim=True)) / 2
        if self.training:
            mel = disturbed(mel, self.shift, self.masked)
        found = self.layers(mel.unsqueeze(1).contiguous(memory_format=torch.channels_last))
        states = self.across(found.flatten(1, 2))
        return self.head(torch.cat([states.mean(2), states.amax(2)], 1)).float()


def _layer(before: int, after: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def disturbed(mel: torch.Tensor, shift: float, masked: float) -> torch.Tensor:
    """Augment `(batch, bands, frames)` spectrograms: shift in time, and mask one range of bands and one of time."""
    n, bands, frames = mel.shape
    moves = ((2 * torch.rand(n, 1) - 1) * shift * frames).long()
    at = (torch.arange(frames) + moves) % frames
    mel = mel.gather(2, at.unsqueeze(1).expand(n, bands, frames))
    for axis, size in ((1, bands), (2, frames)):
        length = torch.rand(n, 1) * masked * size
        start = torch.rand(n, 1) * (size - length)
        places = torch.arange(size)
        hidden = (places >= start) & (places < start + length)
        mel = mel.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return mel
