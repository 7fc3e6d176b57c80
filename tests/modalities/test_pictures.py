"""Pictures of more than 8 bits a pixel are neither black nor white."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ml_assets.modalities import MODALITIES


def png(pixels: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_bits_that_are_not_used_do_not_make_a_picture_black(bits: int) -> None:
    image = MODALITIES.parse("image")
    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    kind = np.uint8 if bits == 8 else np.uint16
    [row] = image.describe([image.decode(png((ramp * (2**bits - 1)).round().astype(kind)))]).to_pylist()
    assert row["brightness"] == pytest.approx(0.5, abs=0.01)
    assert row["contrast"] == pytest.approx(0.29, abs=0.01)


def test_black_stays_black() -> None:
    image = MODALITIES.parse("image")
    [row] = image.describe([image.decode(png(np.zeros((16, 16), np.uint16)))]).to_pylist()
    assert row["brightness"] == 0


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 32)), (6, (32, 64))])
def test_the_size_of_a_picture_is_that_which_one_sees(orientation: int, size: tuple[int, int]) -> None:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (64, 32)).save(out, "JPEG", exif=exif)
    assert MODALITIES.parse("image").size(out.getvalue()) == size
    assert MODALITIES.parse("text").size("a text") is None
