"""Small pictures and sounds of every kind, and what a seed makes of them: truncated, flipped, spliced, with sizes that lie."""

import io
import random
import struct
import zlib
from functools import cache

import numpy as np
import soundfile
from PIL import Image

PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
SOUNDS = ("WAV", "FLAC", "OGG", "MP3")
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@cache
def picture(kind: str, seed: int) -> bytes:
    """A picture of 30 x 20 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@cache
def sound(kind: str, seed: int) -> bytes:
    """A noise of half a second."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).normal(0, 0.1, 4000).astype(np.float32), 8000, format=kind)
    return file.getvalue()


def mutated(draw: random.Random, kinds: tuple[str, ...]) -> bytes:
    """A file of one of the kinds that something has happened to, up to four times."""
    whole = picture if kinds is PICTURES else sound
    data = bytearray(whole(draw.choice(kinds), draw.randrange(4)))
    for _ in range(draw.randint(1, 4)):
        change = draw.choice((_truncate, _flip, _number, _blank, _repeat, _splice))
        data = change(data, draw, bytearray(whole(draw.choice(kinds), draw.randrange(4))))
    return bytes(data)


def _truncate(data: bytearray, draw: random.Random, other: bytearray) -> bytearray:
    return data[: draw.randrange(len(data) + 1)]


def _flip(data: bytearray, draw: random.Random, other: bytearray) -> bytearray:
    for _ in range(draw.randint(1, 16) if data else 0):
        data[_place(data, draw)] ^= 1 << draw.randrange(8)
    return data


def _number(data: bytearray, draw: random.Random, other: bytearray) -> bytearray:
    """A length, a width or a count that lies, most likely in the header."""
    number, size = draw.choice(NUMBERS), draw.choice((1, 2, 4))
    packed = (number & (256**size - 1)).to_bytes(size, draw.choice(("little", "big")))
    at = _place(data, draw) if data else 0
    data[at : at + size] = packed
    return data


def _blank(data: bytearray, draw: random.Random, other: bytearray) -> bytearray:
    at, length = draw.randrange(len(data) + 1), draw.randint(1, 64)
    data[at : at + length] = bytes([draw.choice((0, 255))]) * length
    return data


def _repeat(data: bytearray, draw: random.Random, other: bytearray) -> bytearray:
    at, length = draw.randrange(len(data) + 1), draw.randint(1, 256)
    return data[: at + length] + data[at:]


def _splice(data: bytearray, draw: random.Random, other: bytearray) -> bytearray:
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other)) :]


def _place(data: bytearray, draw: random.Random) -> int:
    """Somewhere, every second time within the first 64 bytes."""
    return draw.randrange(min(len(data), 64) if draw.random() < 0.5 else len(data))


# ---- files that are small and ask for much ----


@cache
def bombs() -> dict[str, bytes]:
    """Pictures whose pixels, and sounds whose length, are far more than their bytes."""
    return {
        "PNG of 30,000 x 30,000 pixels": png(30_000, 30_000, 2_000_000),
        "PNG of 9,000 x 9,000 pixels": png(9_000, 9_000),
        "PNG of 13,000 x 13,000 pixels": png(13_000, 13_000),
        "PNG of 2^31 x 2^31 pixels": png(2**31 - 1, 2**31 - 1, 1000),
        "PNG with a text of 50 MB": png(64, 64, text=50_000_000),
        "GIF of 65,535 x 65,535 pixels": _gif(65_535, 65_535),
        "BMP of 60,000 x 60,000 pixels": _bmp(60_000, 60_000),
        "JPEG of 65,500 x 65,500 pixels": _jpeg(65_500, 65_500),
        "JPEG of 8,000 x 8,000 pixels": _flat("JPEG", 8_000),
        "WebP of 16,383 x 16,383 pixels": _webp(16_383, 16_383),
        "WebP of 8,000 x 8,000 pixels": _flat("WEBP", 8_000),
    }


@cache
def sound_bombs() -> dict[str, bytes]:
    """Silence that is hours long in few bytes, and headers that promise it."""
    return {
        "FLAC of 100 minutes of silence": _silence("FLAC", 6000),
        "OGG of 10 minutes of silence": _silence("OGG", 600),
        "WAV that says 2^32 samples": sound("WAV", 0)[:40] + b"\xff\xff\xff\xff" + sound("WAV", 0)[44:],
        "WAV of 2^31 Hz": sound("WAV", 0)[:24] + struct.pack("<I", 2**31 - 1) + sound("WAV", 0)[28:],
        "WAV of 1 Hz": sound("WAV", 0)[:24] + struct.pack("<I", 1) + sound("WAV", 0)[28:],
        "WAV of 65,535 channels": sound("WAV", 0)[:22] + struct.pack("<H", 65_535) + sound("WAV", 0)[24:],
    }


def png(width: int, height: int, most: int = 10_000_000, text: int = 0) -> bytes:
    """A black picture, or as much of it as `most` bytes of its lines need, deflated thousandfold."""
    row = bytes(1 + (width + 7) // 8) if width < 100_000 else b"\0" * 100
    deflate, parts = zlib.compressobj(9), []
    for _ in range(max(1, min(height, (most * 12) // len(row)))):
        parts.append(deflate.compress(row))
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))]
    if text:
        chunks.append(_chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"a" * text, 9)))
    chunks += [_chunk(b"IDAT", b"".join(parts) + deflate.flush()), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _gif(width: int, height: int) -> bytes:
    small = picture("GIF", 0)
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


def _bmp(width: int, height: int) -> bytes:
    small = picture("BMP", 0)
    return small[:18] + struct.pack("<ii", width, height) + small[26:]


def _jpeg(width: int, height: int) -> bytes:
    small = picture("JPEG", 0)
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


def _webp(width: int, height: int) -> bytes:
    """The header of a lossy picture: 14 bits of each side after the start code."""
    small = picture("WEBP", 0)
    at = small.index(b"\x9d\x01\x2a") + 3
    return small[:at] + struct.pack("<HH", width, height) + small[at + 4 :]


@cache
def _flat(kind: str, side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side)).convert("RGB" if kind == "WEBP" else "L").save(file, kind, quality=1)
    return file.getvalue()


@cache
def _silence(kind: str, seconds: int) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, format=kind) as out:
        for _ in range(seconds):
            out.write(np.zeros(8000, np.float32))
    return file.getvalue()
