"""Reads picture files as arrays of pixels: checks headers, applies the EXIF orientation, puts transparency on white."""

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
"""Supported formats and their file extensions; of animations the first frame is read."""
CHOICES = "PNG, JPEG, WebP, GIF or BMP"
ORIENTATION = 0x0112
SCAN, USUAL_SCANS = b"\xff\xda", 12
"""Marker of a scan in a JPEG file, and the usual number of scans in a progressive one; each passes over the whole picture."""
DEPTHS = (10, 12, 14, 16)
"""Bit depths that files with 16 bits per pixel may use."""
ROWS = 1 << 20
"""Number of 16-bit pixels that are converted to 8 bits at once."""
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
"""Exceptions that Pillow's readers raise for broken files."""


def pixels(item: bytes, width: int, height: int, mode: Literal["RGB", "L"] = "RGB") -> NDArray[np.uint8]:
    """`(height, width, 3) uint8`, or `(height, width)` in mode `L`: the upright picture, resized to exactly this size."""
    with opened(item) as image:
        return np.asarray(upright(image, width, height, mode))


def arrays(items: Sequence[bytes | NDArray[np.uint8]], size: int, channels: int) -> NDArray[np.uint8]:
    """`n` pictures as `(n, channels, size, size) uint8`, resized to squares; 1 channel is grey, 3 are red, green, blue.

    An array from an earlier call is accepted in place of its picture.
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
    """Number of pixels to decode, from the header; for a JPEG file with many scans multiplied accordingly."""
    from PIL import Image

    try:
        with opened(content) as image:
            width, height = image.size
            scans = content.count(SCAN) / USUAL_SCANS if image.format in ("JPEG", "MPO") else 1
            return float(width * height * max(1, scans))
    except Image.DecompressionBombError:  # Pillow does not report the number of pixels
        return 2.0 * (Image.MAX_IMAGE_PIXELS or 0)
    except _BROKEN:
        return 0.0


def check(content: bytes, max_pixels: int) -> None:
    """Raise `Undecodable` with one sentence unless this is a complete picture of at most `max_pixels`.

    The size is in the header, so a picture that is too large is never decoded.
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
                image.draft(image.mode, (max(1, width // 8), max(1, height // 8)))  # reads the whole file, but at reduced size
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
    """A context with the opened picture; the header is read, the pixels are not decoded yet."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, which are limited here, and invalid tags, which are not read
        with Image.open(io.BytesIO(item), formats=[name.upper() for name in FORMATS]) as image:
            yield image


def size_upright(image: "Image") -> tuple[int, int]:
    """Width and height in pixels after applying the EXIF orientation; to be called before loading in draft mode."""
    width, height = image.size
    return (height, width) if orientation(image) >= 5 else (width, height)


def orientation(image: "Image") -> int:
    """The EXIF orientation, 1 to 8; 1 if there is no readable one."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except _BROKEN:  # do not refuse a picture because of invalid tags
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(image: "Image", width: int, height: int, mode: Literal["RGB", "L"]) -> "Image":
    """A copy resized to width and height, with the EXIF orientation applied and transparency on white."""
    from PIL import Image

    turn = orientation(image)
    lying = (height, width) if turn >= 5 else (width, height)
    if image.format in ("JPEG", "MPO"):
        image.draft("RGB" if mode == "RGB" else "L", (2 * lying[0], 2 * lying[1]))
    plain: Image.Image = image
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits per pixel
        plain = Image.fromarray(_eight_bits(np.asarray(image)))
    clear = image.has_transparency_data
    if plain.mode != (wanted := "RGBA" if clear else mode):  # convert only if needed, as it copies the picture
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
    """Convert `(height, width)` 16-bit pixels to 0-255, a few rows at a time: whole pictures as floats take gigabytes.

    Cameras and scanners write 10, 12 or 14 bits into such files, which would be black by the full range: the smallest of these
    depths that holds the lightest pixel is used.
    """
    most = next(full for bits in DEPTHS if int(deep.max(initial=0)) <= (full := 2**bits - 1) or bits == DEPTHS[-1])
    found, step = np.empty(deep.shape, np.uint8), max(1, ROWS // max(1, deep.shape[1]))
    for start in range(0, len(deep), step):
        found[start : start + step] = (deep[start : start + step].clip(0, most) * (255 / most)).round()
    return found
