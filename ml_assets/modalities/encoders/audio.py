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
"""Only the beginning of longer sounds is encoded."""
MODEL_SECONDS = 10.0
"""What models of the Hub hear; shorter sounds are repeated, so that silence says nothing of them."""
BATCH = 8


class MelStatistics(Encoder):
    """How loud the mel bands are and how they move. Nothing is learnt, so nothing must be fetched."""

    name: str
    dimensions: int = 6 * MELS
    rate: int
    """Samples per second to which sounds are brought, Hz."""

    def prepared(self, item: bytes) -> NDArray[np.float64]:
        """`(384,)`, of any length."""
        limit_threads()
        return _statistics(spectrogram(waveform(item, self.rate, HEARD_SECONDS), self.rate, MELS))

    def encode(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """`(n, 384) float32`, unit length, of the first minute."""
        if not items:
            return np.zeros((0, self.dimensions), np.float32)
        found = np.stack([item if isinstance(item, np.ndarray) else self.prepared(item) for item in items])
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def _statistics(mel: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(6 * bands,)` of `(bands, frames)` logarithms: mean, deviation, deviation of the changes, and three quantiles, per band.

    Means and quantiles are taken from the overall level, which stands once in each band's mean, divided by ten: how far away
    the microphone was says little. Constants bring the parts to about the same size.
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
    """A model of `transformers` for waves, or spectrograms that its feature extractor makes of them; its mean over time."""

    name: str
    dimensions: int

    def encode(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """`(n, dimensions) float32`, unit length."""
        if not items:
            return np.zeros((0, self.dimensions), np.float32)
        vectors = outputs(_loaded(self.name), self.arrays, items, BATCH)
        return unit(vectors)

    def arrays(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """What the model's feature extractor makes of the first ten seconds."""
        network = _loaded(self.name)
        waves = (item if isinstance(item, np.ndarray) else waveform(item, network.rate, MODEL_SECONDS) for item in items)
        return _heard(list(waves), network)

    def prepared(self, item: bytes) -> NDArray[np.float32]:
        """The first ten seconds as `(t,)` samples."""
        return waveform(item, _loaded(self.name).rate, MODEL_SECONDS)

    def backbone(self) -> "torch.nn.Module":
        """From the arrays to `(batch, dimensions)`, the mean over time."""
        return copy.deepcopy(_loaded(self.name)).cpu().train().requires_grad_()


def audio_encoder(name: str) -> Encoder:
    """The encoder of that name. Raises `ValueError`, `OSError` or `KeyError` if it cannot be had."""
    if built_in := re.fullmatch(rf"{BUILT_IN}(?:_([1-9]\d{{3,5}}))?", name):  # the name says all that the vectors depend on
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
    """The network in evaluation mode, with its `extractor`, `rate` (Hz), `dimensions`, and the name of what it `reads`."""
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
