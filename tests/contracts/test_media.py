"""Broken, fuzzed and hostile pictures and sounds: each is taken or refused with one sentence, in little memory."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from ml_assets.modalities import MODALITIES, Undecodable
from ml_assets.modalities.files.audio import waveform
from ml_assets.modalities.image import pixels

MOST_MEMORY = 1_000_000_000
MEDIA = ("image", "audio")


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), **more: Any) -> bytes:
    made = Picture.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))
    made.save(buffer := io.BytesIO(), kind, **more)
    return buffer.getvalue()


def sound(kind: str = "WAV", channels: int = 1, rate: int = 8000) -> bytes:
    wave = np.random.default_rng(0).normal(0, 0.1, (2000, channels)).astype(np.float32)
    soundfile.write(buffer := io.BytesIO(), wave, rate, format=kind)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims so many pixels, in a few hundred bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00" * 100_000)) + chunk(b"IEND", b"")
    )


def hours_of_silence(hours: int) -> bytes:
    """A FLAC file, a thousandth of its sound's size."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(hours * 60):
            file.write(np.zeros(8000 * 60, np.int16))
    return buffer.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NASTY: dict[str, tuple[str, Callable[[], bytes]]] = {
    "30,000 x 30,000 pixels": ("image", lambda: bomb(30_000, 30_000)),
    "more pixels than its data": ("image", lambda: bomb(3000, 3000)),
    "svg with a script": ("image", lambda: SVG),
    "sound as picture": ("image", sound),
    "picture as sound": ("audio", picture),
    "html": ("audio", lambda: b"<html>" * 1000),
    "a day of silence": ("audio", lambda: hours_of_silence(24)),
    "zeros": ("image", lambda: bytes(100_000)),
    "zeros as sound": ("audio", lambda: bytes(100_000)),
    "nothing": ("audio", lambda: b""),
}


def refused(modality: str, content: bytes) -> str | None:
    """Why it is not taken; None if it is."""
    kind = MODALITIES.parse(modality)
    try:
        item = kind.decode(content)
    except Undecodable as error:
        return str(error)
    assert item == content
    assert kind.length(item) > 0
    assert kind.describe([item]).num_rows == 1
    assert kind.show(item, 100)
    return None


@pytest.mark.parametrize(
    ("size", "width", "kind"),
    [((28, 28), 256, "png"), ((100, 200), 128, "webp"), ((2000, 1), 256, "webp"), ((1, 2000), 1, "webp")],
)
def test_pictures_are_shown_in_one_size(size: tuple[int, int], width: int, kind: str) -> None:
    shown = MODALITIES.parse("image").show(picture(size=size), 0)
    assert f'style="width:{width}px' in shown
    assert f"data:image/{kind};" in shown


@pytest.mark.parametrize("what", NASTY)
def test_hostile_files_are_refused_with_one_sentence(what: str) -> None:
    modality, make = NASTY[what]
    reason = refused(modality, make())
    assert reason
    assert len(reason.splitlines()) == 1
    assert len(reason) < 300


def test_all_of_them_take_little_memory() -> None:
    code = (
        "import re, sys; sys.path.insert(0, 'tests')\n"
        "from contracts import test_media as t\n"
        "made = [(m, make()) for m, make in t.NASTY.values()]\n"
        "assert all(t.refused(m, content) for m, content in made)\n"
        # not `getrusage`, which counts the process that this one was forked from
        "print(1024 * int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < MOST_MEMORY


KINDS = [("image", picture(kind)) for kind in ("PNG", "JPEG", "WEBP")] + [
    ("audio", sound(kind)) for kind in ("WAV", "FLAC", "OGG", "MP3")
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.binary(max_size=40), st.booleans())
def test_files_that_were_cut_or_overwritten_are_taken_or_refused(
    file: tuple[str, bytes], place: int, noise: bytes, cut: bool
) -> None:
    modality, content = file
    place %= len(content)
    reason = refused(modality, content[:place] if cut else content[:place] + noise + content[place + len(noise) :])
    assert reason is None or (reason and len(reason.splitlines()) == 1)


@given(st.sampled_from(MEDIA), st.binary(max_size=2000))
def test_noise_is_refused(modality: str, noise: bytes) -> None:
    assert refused(modality, noise)


@pytest.mark.parametrize(("modality", "content"), KINDS[:3])
def test_a_picture_that_ends_too_early_is_refused(modality: str, content: bytes) -> None:
    assert refused(modality, content[: len(content) // 2])


def test_a_picture_is_upright_as_its_tag_says() -> None:
    made = Picture.fromarray(np.zeros((20, 40, 3), np.uint8))
    made.paste((255, 0, 0), (0, 0, 40, 4))  # red above
    exif = Picture.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    made.save(buffer := io.BytesIO(), "PNG", exif=exif)
    shown = pixels(buffer.getvalue(), 20, 40)
    assert shown.shape == (40, 20, 3)
    assert shown[:, -2:, 0].mean() > 250, "red at the right"
    assert shown[:, :10].mean() < 5
    junk = Picture.Exif()
    junk[0x0112] = 99
    assert refused("image", picture("JPEG", exif=junk)) is None
    assert refused("image", picture("JPEG", exif=b"Exif\x00\x00" + b"\xff" * 50)) is None


def test_transparent_grey_and_deep_pictures_are_seen_as_people_see_them() -> None:
    clear = Picture.new("RGBA", (8, 8), (255, 0, 0, 0))
    grey, deep = Picture.new("L", (8, 8), 128), Picture.fromarray(np.full((8, 8), 32768, np.uint16))
    for made, expected in ((clear, 255), (grey, 128), (deep, 128)):
        made.save(buffer := io.BytesIO(), "PNG")
        shown = pixels(buffer.getvalue(), 8, 8)
        assert abs(shown.astype(int) - expected).max() <= 1


def test_two_channels_become_their_mean_at_the_asked_rate() -> None:
    both = np.stack([np.full(16_000, 0.5), np.full(16_000, -0.1)], 1).astype(np.float32)
    soundfile.write(buffer := io.BytesIO(), both, 16_000, format="WAV", subtype="FLOAT")
    heard = waveform(buffer.getvalue(), 8000)
    assert (len(heard), heard.dtype) == (8000, np.float32)
    assert np.allclose(heard[100:-100], 0.2, atol=1e-3)
    tagged = b"ID3\x04\x00\x00\x00\x00\x00\x20" + b"\xff" * 32 + sound("MP3")
    refused("audio", tagged)  # either way, and without an error
