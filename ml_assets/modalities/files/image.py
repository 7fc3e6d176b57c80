"""Files of pictures as arrays of pixels: checked by their headers, read upright, transparency on white."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml_assets.modalities.base import Undecodable
from ml_assets.modalities.files.signatures import signature

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {"PNG": "png", "JPEG": "jpg", "WebP": "webp", "GIF": "gif", "BMP": "bmp"}
"""What is read, and the endings of such files. Of moving ones the first frame is read."""
CHOICES = "PNG, JPEG, WebP, GIF or BMP"
ORIENTATION = 0x0112
SCAN, USUAL_SCANS = b"\xff\xda", 12
"""How a scan of a JPEG file begins, and how many a progressive one has; each passes over the whole picture."""
DEPTHS = (10, 12, 14, 16)
"""Bits of a pixel that files of 16 bits a pixel hold."""
ROWS = 1 << 20
"""Pixels of 16 bits that are brought to 8 at once."""
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's readers raise on files that are not what they claim to be."""


def pixels(item: bytes, width: int, height: int, mode: Literal["RGB", "L"] = "RGB") -> NDArray[np.uint8]:
    """`(height, width, 3) uint8`, or `(height, width)` in mode `L`: the upright picture, resized to exactly this size."""
    with opened(item) as image:
        return np.asarray(upright(image, width, height, mode))


def arrays(items: Sequence[bytes | NDArray[np.uint8]], size: int, channels: int) -> NDArray[np.uint8]:
    """`(n, channels, size, size) uint8` of `n` pictures; 1 channel is grey, 3 are red, green, blue. Shapes become squares.

    A row that was made before may stand for its picture.
    """
    mode: Literal["RGB", "L"] = "L" if channels == 1 else "RGB"
    found = np.empty((len(items), channels, size, size), np.uint8)
    for row, item in zip(found, items, strict=True):
        if isinstance(item, np.ndarray):
            row[...] = item
        else:
            row[...] = pixels(item, size, size, mode).reshape(size, size, channels).transpose(2, 0, 1)
    return found


def work(content: bytes) -> float:
    """Pixels that must be unpacked, by the header; of a JPEG file with many scans as often as these pass over the picture."""
    from PIL import Image

    try:
        with opened(content) as image:
            width, height = image.size
            scans = content.count(SCAN) / USUAL_SCANS if image.format in ("JPEG", "MPO") else 1
            return float(width * height * max(1, scans))
    except Image.DecompressionBombError:  # Pillow does not even say how many
        return 2.0 * (Image.MAX_IMAGE_PIXELS or 0)
    except _BROKEN:
        return 0.0


def check(content: bytes, max_pixels: int) -> None:
    """Raises `Undecodable` with one sentence unless this is a whole picture of at most `max_pixels`.

    The size stands in the header, so that a picture that is too large is never unpacked.
    """
    from PIL import Image

    name = signature(content)
    if not content:
        raise Undecodable("empty")
    if name not in FORMATS:
        raise Undecodable(f"not a picture in one of the formats {CHOICES}: it looks like {name or 'none that is known'}")
    try:
        with opened(content) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise Undecodable(f"{width:,} x {height:,} pixels: at most {max_pixels:,} are allowed")
            if name == "JPEG":
                image.draft(image.mode, (max(1, width // 8), max(1, height // 8)))  # reads all, keeps little
            image.load()
            size_upright(image)
    except Undecodable:
        raise
    except Image.DecompressionBombError as error:
        raise Undecodable(
            f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: at most {max_pixels:,} are allowed"
        ) from error
    except _BROKEN as error:
        whole = " ".join(str(error).split())
        kind = "truncated" if "truncat" in whole.lower() or isinstance(error, EOFError) else "broken"
        raise Undecodable(f"a {kind} {name} file: {whole[:100] or type(error).__name__}") from error


@contextmanager
def opened(item: bytes) -> "Iterator[Image]":
    """The picture by its header; its pixels are not yet unpacked."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures and odd tags: the first are bounded here, the others not read
        with Image.open(io.BytesIO(item), formats=[name.upper() for name in FORMATS]) as image:
            yield image


def size_upright(image: "Image") -> tuple[int, int]:
    """Width and height, pixels, as one looks at it. Before it is loaded in draft mode."""
    width, height = image.size
    return (height, width) if orientation(image) >= 5 else (width, height)


def orientation(image: "Image") -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none that can be read."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except _BROKEN:  # junk among the tags is no reason to refuse a picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(image: "Image", width: int, height: int, mode: Literal["RGB", "L"]) -> "Image":
    """A copy of that size, turned as its EXIF orientation says, on white."""
    from PIL import Image

    turn = orientation(image)
    lying = (height, width) if turn >= 5 else (width, height)
    if image.format in ("JPEG", "MPO"):
        image.draft("RGB" if mode == "RGB" else "L", (2 * lying[0], 2 * lying[1]))
    plain: Image.Image = image
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits a pixel
        plain = Image.fromarray(_eight_bits(np.asarray(image)))
    clear = image.has_transparency_data
    if plain.mode != (wanted := "RGBA" if clear else mode):  # which would copy the picture
        plain = plain.convert(wanted)
    if plain.size != lying:
        plain = plain.resize(lying, Image.Resampling.BICUBIC, reducing_gap=3.0)
    if clear:
        plain = Image.alpha_composite(Image.new("RGBA", lying, "white"), plain).convert(mode)
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    return plain.transpose(turned[turn]) if turn in turned else plain


def _eight_bits(deep: NDArray[Any]) -> NDArray[np.uint8]:
    """`(height, width)` pixels of 16 bits as 0 to 255, a few rows at a time: whole pictures as floats take gigabytes.

    Cameras and scanners write 10, 12 or 14 bits into such files, which would be black by the full range: the fewest of these
    that hold the lightest pixel are taken for its depth.
    """
    most = next(full for bits in DEPTHS if int(deep.max(initial=0)) <= (full := 2**bits - 1) or bits == DEPTHS[-1])
    found, step = np.empty(deep.shape, np.uint8), max(1, ROWS // max(1, deep.shape[1]))
    for start in range(0, len(deep), step):
        found[start : start + step] = (deep[start : start + step].clip(0, most) * (255 / most)).round()
    return found
