"""The modality `image`: photographs, drawings, scans; one file per sample."""

import base64
import io
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.modalities.base import Modality, Undecodable
from ml_assets.modalities.encoders.base import Backbone
from ml_assets.modalities.encoders.image import PACKAGED, image_encoder
from ml_assets.modalities.files.image import FORMATS, arrays, check, opened, pixels, size_upright, work
from ml_assets.modalities.files.signatures import signature

__all__ = ["Image", "arrays", "pixels"]

THUMBNAIL = 256
"""Length of a thumbnail's longer side in pixels."""
SMALL = 64
"""Length of the longer side in pixels below which thumbnails are enlarged with visible pixels."""
DESCRIBED = 256
"""Length of the longer side in pixels of the copy that is measured."""


class Image(Modality):
    """Picture files: PNG, JPEG, WebP, GIF and BMP. An item is the bytes of the file as they came."""

    name_in_yaml: ClassVar[str] = "image"
    column: ClassVar[Literal["text", "media"]] = "media"
    unit: ClassVar[str] = "pixels"
    bounds: ClassVar[tuple[float, float]] = (8, 20_000)
    default_encoder: ClassVar[str] = "efficientnet_lite0"

    max_pixels: int = Field(40_000_000, ge=1)
    """Maximum number of pixels of a picture: width times height."""

    def decode(self, content: str | bytes) -> bytes:
        """Check that the bytes are a complete picture of at most `max_pixels`, and return them. Raises `Undecodable`."""
        if isinstance(content, str):
            raise Undecodable("text where the bytes of a picture are needed")
        check(content, self.max_pixels)
        return content

    def work(self, content: str | bytes) -> float:
        """Number of pixels, from the header."""
        return work(content) if isinstance(content, bytes) else 0.0

    def bounded(self, work: float) -> Self:
        """A copy with `max_pixels` reduced to `work`."""
        return self.model_copy(update={"max_pixels": int(min(self.max_pixels, work))})

    def size(self, item: bytes) -> tuple[int, int]:
        """Width and height of the picture in pixels, turned as its EXIF orientation says."""
        with opened(item) as image:
            return size_upright(image)

    def length(self, item: bytes) -> float:
        """Length of the longer side in pixels."""
        with opened(item) as image:
            return max(image.size)

    def describe(self, items: Sequence[bytes]) -> pa.Table:
        """One row per picture: `width`, `height` (upright), `brightness`, `contrast`, `sharpness`, `saturation`, `format`.

        Measured on a copy of at most 256 pixels. `sharpness` is the variance of the Laplacian, in thousandths (Pech-Pacheco et
        al. 2000); `saturation` is the mean of that in HSV, 0-1; `format` such as `png`.
        """
        columns: dict[str, pa.DataType] = {
            "width": pa.int64(), "height": pa.int64(), "brightness": pa.float64(), "contrast": pa.float64(),
            "sharpness": pa.float64(), "saturation": pa.float64(), "format": pa.string(),
        }  # fmt: skip
        return pa.Table.from_pylist([_described(item) for item in items], schema=pa.schema(list(columns.items())))

    def encoder(self, name: str) -> Backbone:
        """The encoder `efficientnet_lite0` (packaged weights, 1280 dimensions), or any Hugging Face image model or folder."""
        try:
            return image_encoder(name)
        except (OSError, ValueError, KeyError) as error:
            if name in PACKAGED:
                raise
            why = f" ({error})" if isinstance(error, MLAssetsError) else ""
            choices = ", ".join(sorted(PACKAGED))
            raise InvalidValue(
                f"cannot load the image encoder {name!r}: choose {choices}, a folder, or a model of the Hugging Face Hub{why}"
            ) from error

    def label_studio_object(self) -> str:
        """Label Studio's `Image` tag, with zoom."""
        return '<Image name="content" value="$content" zoom="true" zoomControl="true"/>'

    def show(self, item: bytes, limit: int = 0) -> str:
        """HTML of a thumbnail of 256 pixels, embedded and enlarged if needed; `limit` counts characters and is not used."""
        from PIL import Image as Pillow

        with opened(item) as image:
            width, height = size_upright(image)
        scale = min(1.0, THUMBNAIL / max(width, height))
        small = Pillow.fromarray(pixels(item, max(1, round(width * scale)), max(1, round(height * scale))))
        data, pixelated = io.BytesIO(), max(width, height) < SMALL
        small.save(data, "PNG" if pixelated else "WEBP", **({"optimize": True} if pixelated else {"quality": 80}))
        style = f"width:{max(1, THUMBNAIL * width // max(width, height))}px" + ";image-rendering:pixelated" * pixelated
        address = f"data:image/{'png' if pixelated else 'webp'};base64,{base64.b64encode(data.getvalue()).decode()}"
        return f'<img class="image" src="{address}" alt="picture of {width} x {height} pixels" style="{style}">'

    def ending(self, item: bytes) -> str:
        """File extension by the content's signature, not by the original name."""
        return f".{FORMATS.get(signature(item) or '', 'bin')}"


def _described(item: bytes) -> dict[str, Any]:
    with opened(item) as image:
        width, height = size_upright(image)
    scale = min(1.0, DESCRIBED / max(width, height))
    colours = pixels(item, max(1, round(width * scale)), max(1, round(height * scale))).astype(np.float64) / 255
    grey = colours @ np.array([0.299, 0.587, 0.114])
    highest, lowest = colours.max(2), colours.min(2)
    return {
        "width": width,
        "height": height,
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(_laplacian(grey).var() * 1000),
        "saturation": float(np.divide(highest - lowest, highest, out=np.zeros_like(highest), where=highest > 0).mean()),
        "format": (FORMATS.get(signature(item) or "", "")),
    }


def _laplacian(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    edged = np.pad(grey, 1, mode="edge")
    around = edged[:-2, 1:-1] + edged[2:, 1:-1] + edged[1:-1, :-2] + edged[1:-1, 2:]
    return np.asarray(around - 4 * grey)
