"""Example `languages`: telephone prompts in five languages (Asterisk's core sounds, CC-BY-SA), from Debian's packages.

One speaker says all prompts of a language, so a model may learn voices as well as languages. A prompt is in one split only, in
all languages.
"""

import io
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ml_assets.demo import annotators
from ml_assets.demo.example import Example, NoData, Request, Wave
from ml_assets.demo.tables import Sample, read, write
from ml_assets.modalities import Audio
from ml_assets.state.digests import content_id
from ml_assets.state.home import home

LANGUAGES = ("en", "es", "fr", "it", "ru")
PACKAGE = "asterisk-core-sounds-{}-gsm"
INSIDE = "usr/share/asterisk/sounds"
RATE = 8000
SHORTEST = 400
"""Least number of samples (a twentieth of a second); shorter sounds are left out."""
SHARES = {"train": 0.55, "test": 0.85, "later": 1.0}
"""The upper bound of each file's share of the prompts' hashes, which are scaled to 0 to 1."""
REQUESTS = 150


class Languages(Example):
    """The example that classifies the language of speech."""

    project: ClassVar[str] = "languages"
    about: ClassVar[str] = "telephone prompts in five languages, one speaker each, from Debian's packages"
    annotators: ClassVar[str] = "who know the languages"
    metric: ClassVar[str] = "accuracy"
    test: ClassVar[str] = "prompts that no training sample says in any language"

    def fetch(self) -> dict[str, int]:
        """Fetch the data; return the number of sounds in `train`, `test` and `later`."""
        if not all((folder() / f"{name}.parquet").exists() for name in SHARES):
            with tempfile.TemporaryDirectory() as scratch:
                sounds = [sound for language in LANGUAGES for sound in unpack(language, Path(scratch))]
            for name in SHARES:
                write(folder() / f"{name}.parquet", [sound for sound in sounds if part_of(sound.group or "") == name])
        return {name: len(read(folder() / f"{name}.parquet")) for name in SHARES}

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The language of each training sound, assigned to one of the annotators each."""
        audio = Audio()
        return annotators.shared_out({audio.sample_id(s.content): s.label for s in read(folder() / "train.parquet")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """Two waves: similar prompts, then prompts with noise, as over a bad line."""
        chosen = random.Random(seed).sample(read(folder() / "later.parquet"), 2 * REQUESTS)
        same, other = chosen[:REQUESTS], chosen[REQUESTS:]
        return [
            Wave("more prompts", [Request(s.content, s.label) for s in same], strange=False),
            Wave("prompts over a bad line", [Request(noisy(s.content, i), s.label) for i, s in enumerate(other)], strange=True),
        ]


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "languages"


def unpack(language: str, scratch: Path) -> list[Sample]:
    """Download the prompts of a language, as FLAC samples grouped by prompt. Raises `NoData` if that fails."""
    import soundfile

    files, found = _downloaded(PACKAGE.format(language), scratch / language) / INSIDE, []
    for path in sorted(files.rglob("*.gsm")):
        voice = path.relative_to(files).parts[0]  # the folder of the one speaker
        prompt = path.relative_to(files / voice).with_suffix("").as_posix()
        wave, _ = soundfile.read(path, format="RAW", subtype="GSM610", samplerate=RATE, channels=1, dtype="int16")
        if len(wave) >= SHORTEST and not prompt.startswith("silence"):
            found.append(Sample(flac(wave), language, prompt))
    return found


def part_of(prompt: str) -> str:
    """The file (`train`, `test` or `later`) that a prompt belongs to, the same in all languages."""
    place = int(content_id("prompt", prompt)[:12], 16) / 16**12
    return next(name for name, end in SHARES.items() if place < end)


def flac(wave: NDArray[np.int16]) -> bytes:
    """Encode a sound, `(samples,) int16`, as a FLAC file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, wave, RATE, format="FLAC")
    return buffer.getvalue()


def noisy(content: bytes, seed: int) -> bytes:
    """Add white noise as loud as the sound itself; returns a FLAC file."""
    import soundfile

    wave, _ = soundfile.read(io.BytesIO(content), dtype="float64")
    noise = np.random.default_rng(seed).normal(0, max(float(np.sqrt((wave**2).mean())), 1e-3), len(wave))
    return flac(((wave + noise).clip(-1, 1) * 32767).astype(np.int16))


def _downloaded(package: str, place: Path) -> Path:
    """Download and unpack a Debian package, without installing it; return the folder with its files. Raises `NoData`."""
    place.mkdir()
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NoData(
            f"the example's sounds come in Debian's package {package}, and there is no apt-get here: use Debian or Ubuntu"
        )
    done = subprocess.run(["apt-get", "download", "-q", package], cwd=place, capture_output=True, text=True)
    found = list(place.glob("*.deb"))
    if done.returncode or not found:
        last_line = (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
        raise NoData(f"the package {package} cannot be downloaded ({last_line}): `sudo apt-get update` may help")
    subprocess.run(["dpkg-deb", "-x", str(found[0]), str(place / "files")], check=True)
    return place / "files"
