"""Reads audio files as waveforms and spectrograms: checks headers, reads in blocks, mixes down and resamples."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.modalities.base import Undecodable
from ml_assets.modalities.files.signatures import signature

if TYPE_CHECKING:
    from soundfile import SoundFile

FORMATS = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}
"""Supported formats and their file extensions."""
CHOICES = "WAV, FLAC, OGG or MP3"
RATES = (1_000, 768_000)
"""Minimum and maximum sampling rate of a file, in Hz."""
CHANNELS = 16
"""Maximum number of channels of a file."""
BLOCK = 2**18
"""Number of samples, of all channels together, that are read at once."""
LOUDEST = 1e5
"""Maximum amplitude of a valid sample: integers in a float file reach 32,768."""
FLOOR = 1e-10
"""Power that is added before the logarithm, relative to full scale; the level of silence."""
MOST_SAMPLES = 1_000_000_000
"""Maximum number of samples of a file, all channels together: more than an hour of six channels at 44.1 kHz."""
UNKNOWN = 2**62
"""Number of frames from which on the length is unknown: libsndfile's value for streams that do not state it."""


def waveform(item: bytes, rate: int, seconds: float | None = None) -> NDArray[np.float32]:
    """`(t,) float32` of the first `seconds` (all, if None) at `rate` Hz: the mean of the channels, full scale is 1."""
    import soxr

    with opened(item) as file:
        left = UNKNOWN if seconds is None else max(1, round(seconds * file.samplerate))
        same = file.samplerate == rate
        stream = None if same else soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32", quality="HQ")
        parts: list[NDArray[np.float32]] = []
        for block in blocks(file):
            mono = block[:left].mean(1)
            left -= len(mono)
            parts.append(mono if stream is None else stream.resample_chunk(mono))
            if left <= 0:
                break
        if stream is not None:
            parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate([*parts, np.zeros(0, np.float32)])


def log_mel(items: Sequence[bytes], rate: int, mels: int, seconds: float) -> NDArray[np.float32]:
    """`(n, mels, frames) float32` log-mel spectrograms of the first `seconds` at `rate` Hz, every 10 ms, zero-padded."""
    size = round(seconds * rate)
    found = np.empty((len(items), mels, 1 + size // hop(rate)), np.float32)
    for row, item in zip(found, items, strict=True):
        wave = waveform(item, rate, seconds)[:size]
        row[...] = spectrogram(np.pad(wave, (0, size - len(wave))), rate, mels)
    return found


def spectrogram(wave: NDArray[np.float32], rate: int, mels: int) -> NDArray[np.float32]:
    """`(mels, frames) float32` decimal log of the power in each mel band; windows of 25 ms every 10 ms, floor -10."""
    import torch

    window = round(0.025 * rate)
    size = 1 << (window - 1).bit_length()
    padded = torch.nn.functional.pad(torch.from_numpy(wave), (size // 2, size // 2))
    spectrum = torch.stft(
        padded, size, hop(rate), window, torch.hann_window(window), center=False, onesided=True, return_complex=True
    )
    power = torch.from_numpy(mel_filters(rate, size, mels)) @ (spectrum.abs() / (window / 2)).square()
    return np.asarray((power + FLOOR).log10().numpy(), np.float32)


def hop(rate: int) -> int:
    """Number of samples from one frame to the next, 10 ms."""
    return round(0.01 * rate)


@lru_cache(maxsize=8)
def mel_filters(rate: int, size: int, mels: int) -> NDArray[np.float32]:
    """`(mels, size // 2 + 1)` triangular filters, half overlapping, on the mel scale `2595 log10(1 + f / 700)`.

    The scale is that of O'Shaughnessy 1987.
    """
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, mels + 2) / 2595) - 1)
    # otherwise the lowest bands would fall between two frequency bins
    widest = np.maximum(np.diff(edges), rate / size)
    frequencies = np.linspace(0, rate / 2, size // 2 + 1)
    centres = edges[1:-1, None]
    rising = 1 - (centres - frequencies) / widest[:-1, None]
    falling = 1 - (frequencies - centres) / widest[1:, None]
    return np.asarray(np.minimum(rising, falling).clip(0), np.float32)


def work(content: bytes) -> float:
    """Number of samples of all channels, from the header; 0 if the header does not tell."""
    from soundfile import LibsndfileError

    try:
        with opened(content) as file:
            return float(file.frames * file.channels) if file.frames < UNKNOWN else 0.0
    except LibsndfileError:
        return 0.0


def check(content: bytes, max_seconds: float, max_samples: int = MOST_SAMPLES) -> None:
    """Raise `Undecodable` with one sentence unless this is a complete sound of at most `max_seconds` and `max_samples`.

    The length is in the header, so a sound that is too long is never decoded; if the header is wrong, decoding stops at the
    limit.
    """
    from soundfile import LibsndfileError

    name = signature(content)
    if not content:
        raise Undecodable("empty")
    if name not in FORMATS:
        raise Undecodable(f"not a sound in one of the formats {CHOICES}: it looks like {name or 'none that is known'}")
    try:
        with opened(content) as file:
            _check_header(file, max_seconds, max_samples)
            frames = 0
            for block in blocks(file):
                frames += len(block)
                if frames * file.channels > max_samples:
                    raise Undecodable(f"more than {max_samples:,} samples, of all channels together")
                if frames > max_seconds * file.samplerate:
                    raise Undecodable(f"more than {max_seconds:,g} seconds")
                loudest = float(np.abs(block).max(initial=0))  # NaN if any sample is NaN
                if not loudest <= LOUDEST:
                    raise Undecodable(f"a broken {name} file: a sample of {loudest:g} where full scale is 1")
            if not frames:
                raise Undecodable(f"no sound can be read from this {name} file: it is empty or truncated")
            # the length in the header of an MP3 file is an estimate
            if name != "MP3" and frames < file.frames < UNKNOWN:
                raise Undecodable(f"a truncated {name} file: {frames:,} of {file.frames:,} samples")
            if name == "WAV" and (missing := _missing(content)):
                raise Undecodable(f"a truncated {name} file: {missing:,} bytes are missing")
    except LibsndfileError as error:
        why = " ".join(error.error_string.split()).removeprefix("Error : ")
        raise Undecodable(f"a broken {name} file: {why}") from error


def _check_header(file: "SoundFile", max_seconds: float, max_samples: int) -> None:
    low, high = RATES
    if not low <= file.samplerate <= high:
        raise Undecodable(f"{file.samplerate:,} samples per second: {low:,} to {high:,} are allowed")
    if file.channels > CHANNELS:
        raise Undecodable(f"{file.channels:,} channels: at most {CHANNELS} are allowed")
    if file.frames < UNKNOWN and file.frames > max_seconds * file.samplerate:
        raise Undecodable(f"{file.frames / file.samplerate:,.0f} seconds: at most {max_seconds:,g} are allowed")
    if file.frames < UNKNOWN and file.frames * file.channels > max_samples:
        raise Undecodable(f"{file.frames * file.channels:,} samples, of all channels: at most {max_samples:,} are allowed")


def _missing(content: bytes) -> int:
    """Number of bytes by which the samples of a WAV file fall short of its header; libsndfile does not report this."""
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data":
            streamed = size >= 2**31 - 2**16  # unknown size, as streams have
            return 0 if streamed else max(0, size - (len(content) - at - 8))
        at += 8 + size + size % 2
    return 0


@contextmanager
def opened(item: bytes) -> "Iterator[SoundFile]":
    """A context with the opened sound file; the header is read, the samples are not decoded yet."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(item)) as file:
        yield file


def blocks(file: "SoundFile") -> Iterator[NDArray[np.float32]]:
    """Yield the samples as `(frames, channels) float32` blocks."""
    frames = BLOCK // file.channels
    while len(block := file.read(frames, dtype="float32", always_2d=True)):
        yield block


def header(item: bytes) -> dict[str, Any]:
    """A dictionary with `seconds`, `rate` (Hz) and `channels`."""
    with opened(item) as file:
        frames = file.frames if file.frames < UNKNOWN else sum(map(len, blocks(file)))
        return {"seconds": frames / file.samplerate, "rate": file.samplerate, "channels": file.channels}
