"""Spoken prompts of a telephone exchange in five languages (Asterisk's core sounds, CC-BY-SA), fetched from Debian's packages.

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
"""Samples: what is shorter than a twentieth of a second says nothing."""
SHARES = {"train": 0.55, "test": 0.85, "later": 1.0}
"""Up to which place, from 0 to 1, a prompt's hash puts it into each file."""
REQUESTS = 150


class Languages(Example):
    """Which language is spoken?"""

    project: ClassVar[str] = "languages"
    about: ClassVar[str] = "telephone prompts in five languages, one speaker each, from Debian's packages"
    annotators: ClassVar[str] = "who know the languages"
    metric: ClassVar[str] = "accuracy"
    test: ClassVar[str] = "prompts that no training sample says in any language"

    def fetch(self) -> dict[str, int]:
        """Sounds in `train`, `test` and `later`."""
        if not all((folder() / f"{name}.parquet").exists() for name in SHARES):
            with tempfile.TemporaryDirectory() as scratch:
                sounds = [sound for language in LANGUAGES for sound in unpack(language, Path(scratch))]
            for name in SHARES:
                write(folder() / f"{name}.parquet", [sound for sound in sounds if part_of(sound.group or "") == name])
        return {name: len(read(folder() / f"{name}.parquet")) for name in SHARES}

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The language of each sound, known to one of the annotators."""
        audio = Audio()
        return annotators.shared_out({audio.sample_id(s.content): s.label for s in read(folder() / "train.parquet")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """More of the same; then the same over a bad line."""
        chosen = random.Random(seed).sample(read(folder() / "later.parquet"), 2 * REQUESTS)
        same, other = chosen[:REQUESTS], chosen[REQUESTS:]
        return [
            Wave("more prompts", [Request(s.content, s.label) for s in same], strange=False),
            Wave("prompts over a bad line", [Request(noisy(s.content, i), s.label) for i, s in enumerate(other)], strange=True),
        ]


def folder() -> Path:
    """Where the files are, as the project's YAML names it."""
    return home() / "data" / "languages"


def unpack(language: str, scratch: Path) -> list[Sample]:
    """The prompts of a language as FLAC files; their group is what is said. Raises `NoData` without the package."""
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
    """The file that holds the prompt in all languages."""
    place = int(content_id("prompt", prompt)[:12], 16) / 16**12
    return next(name for name, end in SHARES.items() if place < end)


def flac(wave: NDArray[np.int16]) -> bytes:
    """The sound as a file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, wave, RATE, format="FLAC")
    return buffer.getvalue()


def noisy(content: bytes, seed: int) -> bytes:
    """The sound with as much noise as it is loud."""
    import soundfile

    wave, _ = soundfile.read(io.BytesIO(content), dtype="float64")
    noise = np.random.default_rng(seed).normal(0, max(float(np.sqrt((wave**2).mean())), 1e-3), len(wave))
    return flac(((wave + noise).clip(-1, 1) * 32767).astype(np.int16))


def _downloaded(package: str, place: Path) -> Path:
    """The folder with the unpacked files of a Debian package; nothing is installed."""
    place.mkdir()
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NoData(
            f"the example's sounds come in Debian's package {package}, and there is no apt-get here: use Debian or Ubuntu"
        )
    done = subprocess.run(["apt-get", "download", "-q", package], cwd=place, capture_output=True, text=True)
    found = list(place.glob("*.deb"))
    if done.returncode or not found:
        said = (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
        raise NoData(f"the package {package} cannot be downloaded ({said}): `sudo apt-get update` may help")
    subprocess.run(["dpkg-deb", "-x", str(found[0]), str(place / "files")], check=True)
    return place / "files"
