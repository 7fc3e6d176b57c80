"""Pictures, sounds and small encoders that are made when a test needs them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, PngImagePlugin
from transformers import BertConfig, BertModel, BertTokenizerFast, ViTConfig, ViTModel

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp;"
SHAPES = ("circle", "square", "cross")
PITCHES = (300, 800, 2000)


def saved(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def drawn(shape: str, size: int = 32, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A shape somewhere in a picture."""
    generator = np.random.default_rng(seed)
    image = Image.new(mode, (size, size), 0)
    draw, side = ImageDraw.Draw(image), int(generator.integers(size // 3, size // 2))
    x, y = (int(v) for v in generator.integers(1, size - side - 1, 2))
    ink: Any = 220 if len(image.getbands()) == 1 else (220, 160, 40, 255)[: len(image.getbands())]
    if shape == "circle":
        draw.ellipse((x, y, x + side, y + side), fill=ink)
    elif shape == "square":
        draw.rectangle((x, y, x + side, y + side), outline=ink, width=max(1, side // 6))
    else:
        draw.line((x, y, x + side, y + side), fill=ink, width=max(1, side // 6))
        draw.line((x, y + side, x + side, y), fill=ink, width=max(1, side // 6))
    return image


def pictures() -> list[str | bytes]:
    """One of each kind."""
    turned, text = Image.Exif(), PngImagePlugin.PngInfo()
    turned[0x0112] = 6
    text.add_text("comment", SCRIPT)
    deep = np.linspace(0, 65_535, 48 * 64).reshape(48, 64).astype(np.uint16)
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    return [
        saved(drawn("circle"), pnginfo=text),
        saved(drawn("square", 300), "JPEG"),
        saved(drawn("cross", 64, seed=1), "WEBP"),
        saved(drawn("square", 28, mode="L")),
        saved(drawn("circle", 100, seed=2, mode="RGBA")),
        saved(Image.fromarray(noise), "JPEG", exif=turned),
        saved(drawn("cross", 200, seed=3).quantize(8)),
        saved(Image.fromarray(deep)),
        saved(drawn("circle", 120, seed=4, mode="CMYK"), "JPEG"),
        saved(drawn("cross", 90, seed=5), "GIF"),
        saved(drawn("square", 50, seed=6), "BMP"),
    ]


def recorded(wave: NDArray[Any], rate: int, kind: str = "WAV", subtype: str | None = None, title: str = "") -> bytes:
    """The file of a sound, `(t,)` or `(t, channels)`."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1 if wave.ndim == 1 else wave.shape[1], subtype, format=kind) as out:
        if title:
            out.title = title
        out.write(wave)
    return file.getvalue()


def tone(pitch: float, seconds: float, rate: int, loudness: float = 0.5, seed: int = 0) -> NDArray[np.float32]:
    """`(t,)` of one pitch, Hz, with a little noise."""
    generator, times = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * pitch * times + generator.uniform(0, 6)) + 0.01 * generator.normal(size=len(times))
    return np.asarray(loudness * wave / 1.05, np.float32)


def sounds() -> list[str | bytes]:
    """One of each kind."""
    stereo = np.stack([tone(500, 0.6, 44_100), tone(1500, 0.6, 44_100)], 1)
    return [
        recorded(tone(300, 0.5, 8_000), 8_000, title=SCRIPT),
        recorded(tone(440, 1, 44_100), 44_100, "FLAC"),
        recorded(tone(800, 1, 16_000), 16_000, "OGG", title=SCRIPT),
        recorded(tone(1200, 1, 44_100), 44_100, "MP3"),
        recorded(stereo, 44_100, "WAV"),
        recorded(tone(2500, 0.5, 22_050), 22_050, "WAV", "FLOAT"),
        recorded(np.zeros(8_000), 8_000, "FLAC"),
        recorded(np.tile(tone(100, 0.2, 48_000), 60), 48_000, "WAV", "PCM_24"),
    ]


def small_vit(folder: Path) -> None:
    """A model of pictures in a folder, as the Hugging Face Hub has them, that has learnt nothing."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=4
    )
    ViTModel(config).save_pretrained(folder)
    mean = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}, **mean}))


def small_bert(folder: Path) -> None:
    """A model of texts in a folder, as the Hugging Face Hub has them, that knows letters and has learnt nothing."""
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), "the", "moon", "is", "far"]
    BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=128, **size)).save_pretrained(folder)
