"""The modality `audio`: speech, music, other sounds; one file per sample."""

import base64
import html
import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.modalities.base import File, Modality, Undecodable
from ml_assets.modalities.encoders.audio import BUILT_IN, audio_encoder
from ml_assets.modalities.encoders.base import Encoder
from ml_assets.modalities.files.audio import FORMATS, MOST_SAMPLES, RATES, check, header, log_mel, waveform, work
from ml_assets.modalities.files.signatures import signature

__all__ = ["Audio", "log_mel", "waveform"]

PLAYED = 300_000
"""Maximum size in bytes of a file that is embedded for playing as it is; of larger ones the beginning is re-encoded."""
PLAYED_SECONDS = 20.0
PLAYED_RATE = 16_000
DESCRIBED_SECONDS = 600.0
"""Length in seconds up to which sounds are measured."""
FRAME_SECONDS = 0.02
SILENT = -50.0
"""Loudness in dBFS below which a frame counts as silent."""
QUIETEST = -100.0
"""Loudness in dBFS that is given to digital silence."""
TYPES = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mpeg"}
WIDTH, HEIGHT = 256, 48


class Audio(Modality):
    """Audio files: WAV, FLAC, OGG and MP3, of any rate. An item is the bytes of the file as they came."""

    name_in_yaml: ClassVar[str] = "audio"
    column: ClassVar[Literal["text", "media"]] = "media"
    unit: ClassVar[str] = "seconds"
    bounds: ClassVar[tuple[float, float]] = (0.05, 3600)
    default_encoder: ClassVar[str] = "mel_statistics"

    max_seconds: float = Field(3600, gt=0)
    """Maximum length of a sound, in seconds."""
    max_samples: int = Field(MOST_SAMPLES, ge=1)
    """Maximum number of samples of a sound, all channels together: its length, times its rate, times its channels."""
    rate: int = Field(16_000, ge=RATES[0], le=RATES[1])
    """Sampling rate to which sounds are resampled before they are measured, Hz."""

    def decode(self, content: str | bytes) -> bytes:
        """Check that the bytes are a complete sound of at most `max_seconds`, and return them. Raises `Undecodable`."""
        if isinstance(content, str):
            raise Undecodable("text where the bytes of a sound are needed")
        check(content, self.max_seconds, self.max_samples)
        return content

    def work(self, content: str | bytes) -> float:
        """Number of samples of all channels, from the header."""
        return work(content) if isinstance(content, bytes) else 0.0

    def bounded(self, work: float) -> Self:
        """A copy with `max_samples` reduced to `work`."""
        return self.model_copy(update={"max_samples": int(min(self.max_samples, work))})

    def length(self, item: bytes) -> float:
        """Duration in seconds."""
        return float(header(item)["seconds"])

    def describe(self, items: Sequence[bytes]) -> pa.Table:
        """One row per sound: `seconds`, `rate` (Hz), `channels`, `loudness`, `peak`, `silence`, `centroid` (Hz), `format`.

        `format` is such as `wav`. `loudness` to `centroid` are measured on the mean of the channels in the first ten minutes,
        at the modality's `rate`: `silence` is the share of frames of 20 ms below -50 dBFS, `centroid` the mean frequency,
        weighted by magnitude.
        """
        columns: dict[str, pa.DataType] = {
            "seconds": pa.float64(), "rate": pa.int64(), "channels": pa.int64(), "loudness": pa.float64(), "peak": pa.float64(),
            "silence": pa.float64(), "centroid": pa.float64(), "format": pa.string(),
        }  # fmt: skip
        rows = [
            {
                **header(item),
                **_measured(waveform(item, self.rate, DESCRIBED_SECONDS), self.rate),
                "format": FORMATS.get(signature(item) or "", ""),
            }
            for item in items
        ]
        return pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items())))

    def encoder(self, name: str) -> Encoder:
        """The encoder `mel_statistics` (384 numbers, not trained), or any Hugging Face audio model or folder.

        `mel_statistics` covers up to 8 kHz; `mel_statistics_48000` resamples sounds to 48 kHz instead of 16.
        """
        try:
            return audio_encoder(name)
        except (OSError, ValueError, KeyError) as error:
            why = f" ({error})" if isinstance(error, MLAssetsError) else ""
            raise InvalidValue(
                f"cannot load the audio encoder {name!r}: choose {BUILT_IN}, a folder, or a model of the Hugging Face Hub{why}"
            ) from error

    def label_studio_object(self) -> str:
        """Label Studio's `Audio` tag, with waveform and player."""
        return '<Audio name="content" value="$content"/>'

    def label_studio_part(self, item: bytes, file: File) -> str:
        """HTML of a player of the file."""
        return f'<audio controls src="{html.escape(file(item, self.ending(item)))}"></audio>'

    def show(self, item: bytes, limit: int = 0) -> str:
        """HTML of the waveform as a picture and a player, with embedded data; `limit` counts characters and is not used.

        Of files above 300 kB only the first 20 seconds are played.
        """
        seconds = header(item)["seconds"]
        wave = waveform(item, PLAYED_RATE, PLAYED_SECONDS)
        whole = len(item) <= PLAYED
        data, kind = (item, TYPES.get(signature(item) or "", "wav")) if whole else (_ogg(wave), "ogg")
        told = f"sound of {seconds:.1f} seconds" + ("" if whole else f", the first {len(wave) / PLAYED_RATE:.0f}")
        return (
            f'<div class="audio"><img src="data:image/png;base64,{_text(_drawn(wave))}" alt="{told}" '
            f'width="{WIDTH}" height="{HEIGHT}"><audio controls preload="none" title="{told}" '
            f'src="data:audio/{kind};base64,{_text(data)}"></audio></div>'
        )

    def ending(self, item: bytes) -> str:
        """File extension by the content's signature, not by the original name."""
        return f".{FORMATS.get(signature(item) or '', 'bin')}"


def _measured(wave: NDArray[np.float32], rate: int) -> dict[str, float]:
    size = max(2, round(FRAME_SECONDS * rate))
    frames = np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
    loudness = _decibels(np.square(frames).mean(1))
    spectrum = np.zeros(size // 2 + 1)
    for start in range(0, len(frames), 1000):
        spectrum += np.abs(np.fft.rfft(frames[start : start + 1000] * np.hanning(size), axis=1)).sum(0)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    return {
        "loudness": float(_decibels(np.square(wave, dtype=np.float64).mean() if len(wave) else np.float64(0))),
        "peak": float(np.abs(wave).max(initial=0)),
        "silence": float((loudness < SILENT).mean()) if len(loudness) else 1.0,
        "centroid": float(spectrum @ frequencies / spectrum.sum()) if spectrum.sum() > 0 else 0.0,
    }


def _decibels(power: Any) -> Any:
    return 10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10)))


def _ogg(wave: NDArray[np.float32]) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave.clip(-1, 1), PLAYED_RATE, format="OGG", subtype="VORBIS")
    return file.getvalue()


def _drawn(wave: NDArray[np.float32]) -> bytes:
    """A PNG of the waveform: the maximum amplitude in each column of pixels."""
    from PIL import Image

    edges = np.linspace(0, len(wave), WIDTH + 1).astype(int)
    strongest = np.array([np.abs(wave[a:b]).max(initial=0) for a, b in pairwise(edges)])
    half = (strongest.clip(0, 1) * (HEIGHT / 2 - 1)).round()
    rows = np.abs(np.arange(HEIGHT)[:, None] - (HEIGHT - 1) / 2)
    file = io.BytesIO()
    Image.fromarray(np.where(rows <= half + 0.5, np.uint8(90), np.uint8(245))).save(file, "PNG", optimize=True)
    return file.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
