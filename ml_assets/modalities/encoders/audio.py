"""Encoders of sounds: statistics of their spectrum, and any model of the Hugging Face Hub."""

import copy
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import limit_threads, outputs
from ml_assets.modalities.encoders.base import Backbone, Encoder, unit
from ml_assets.modalities.encoders.hub import ask_hub
from ml_assets.modalities.files.audio import spectrogram, waveform

if TYPE_CHECKING:
    import torch

BUILT_IN = "mel_statistics"
RATE = 16_000
MELS = 64
HEARD_SECONDS = 60.0
"""Length in seconds up to which sounds are encoded by `mel_statistics`."""
MODEL_SECONDS = 10.0
"""Length of the input of Hub models in seconds; shorter sounds are repeated rather than padded with silence."""
BATCH = 8


class MelStatistics(Encoder):
    """An encoder that computes statistics of the mel bands; it is not trained, so nothing needs to be downloaded."""

    name: str
    dimensions: int = 6 * MELS
    rate: int
    """Sampling rate to which sounds are resampled, Hz."""

    def prepared(self, item: bytes) -> NDArray[np.float64]:
        """`(384,)` statistics, not normalized."""
        limit_threads()
        return _statistics(spectrogram(waveform(item, self.rate, HEARD_SECONDS), self.rate, MELS))

    def encode(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """`(n, 384) float32` vectors of unit length, from the first minute of each sound."""
        if not items:
            return np.zeros((0, self.dimensions), np.float32)
        found = np.stack([item if isinstance(item, np.ndarray) else self.prepared(item) for item in items])
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def _statistics(mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(6 * bands,)` per band of `(bands, frames)` log powers: mean, deviation, deviation of changes, and three quantiles.

    Means and quantiles are relative to the overall level, which is added to each band's mean, divided by ten, because the
    distance of the microphone says little. Constants scale the parts to about the same size.
    """
    means = mel.mean(1, dtype=np.float64)
    level = means.mean()
    changes = np.diff(mel, axis=1).std(1) if mel.shape[1] > 1 else np.zeros(len(mel))
    low, middle, high = np.quantile(mel, (0.1, 0.5, 0.9), axis=1)
    return np.concatenate(
        [
            means - level + (level + 5) / 10,
            mel.std(1),
            2 * changes,
            (low - level) / 2,
            (middle - level) / 2,
            (high - level) / 2,
        ]
    )


class AudioEncoder(Backbone):
    """An encoder by a `transformers` model of waveforms or spectrograms, averaged over time."""

    name: str
    dimensions: int

    def encode(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of unit length."""
        if not items:
            return np.zeros((0, self.dimensions), np.float32)
        vectors = outputs(_loaded(self.name), self.arrays, items, BATCH)
        return unit(vectors)

    def arrays(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """The output of the model's feature extractor for the first ten seconds of each sound."""
        network = _loaded(self.name)
        waves = (item if isinstance(item, np.ndarray) else waveform(item, network.rate, MODEL_SECONDS) for item in items)
        return _heard(list(waves), network)

    def prepared(self, item: bytes) -> NDArray[np.float32]:
        """The first ten seconds as `(t,)` samples."""
        return waveform(item, _loaded(self.name).rate, MODEL_SECONDS)

    def backbone(self) -> "torch.nn.Module":
        """A trainable copy of the network, from the extractor's arrays to `(batch, dimensions)`, the mean over time."""
        return copy.deepcopy(_loaded(self.name)).cpu().train().requires_grad_()


def audio_encoder(name: str) -> Encoder:
    """The audio encoder with this name. Raises `ValueError`, `OSError` or `KeyError` if it is not available."""
    if built_in := re.fullmatch(rf"{BUILT_IN}(?:_([1-9]\d{{3,5}}))?", name):  # the name determines the vectors
        return MelStatistics(name=name, rate=int(built_in[1] or RATE))
    return AudioEncoder(name=name, dimensions=_loaded(name).dimensions)


def _heard(waves: Sequence[NDArray[np.float32]], network: Any) -> NDArray[np.float32]:
    size = round(MODEL_SECONDS * network.rate)
    if not waves:
        return np.zeros((0, size), np.float32)
    whole = [np.resize(wave, size) if len(wave) else np.zeros(size, np.float32) for wave in waves]
    found = network.extractor(whole, sampling_rate=network.rate, return_tensors="np")
    return np.asarray(found[network.reads], np.float32)


@lru_cache(maxsize=2)
def _loaded(name: str) -> Any:
    """The network in evaluation mode, with attributes `extractor`, `rate` (Hz), `dimensions`, and `reads`, the input's name."""
    import torch
    import transformers
    from transformers import AutoFeatureExtractor, AutoModel

    from ml_assets.modalities.encoders.networks import SoundTransformer

    transformers.utils.logging.disable_progress_bar()
    limit_threads()
    try:
        extractor, model = (kind.from_pretrained(name, local_files_only=True) for kind in (AutoFeatureExtractor, AutoModel))
    except (OSError, ValueError):
        if Path(name).exists():
            raise
        ask_hub(name)
        extractor, model = (kind.from_pretrained(name) for kind in (AutoFeatureExtractor, AutoModel))
    if hasattr(model, "get_encoder") and model.config.is_encoder_decoder:
        model = model.get_encoder()
    network = SoundTransformer(model, extractor).eval().requires_grad_(False)
    with torch.inference_mode():
        silence = [np.zeros(round(MODEL_SECONDS * network.rate), np.float32)]
        network.dimensions = network(torch.from_numpy(_heard(silence, network))).shape[1]
    return network
