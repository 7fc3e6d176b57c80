"""Kinds of content. A new one is one file here and its name in one of these lists."""

from ml_assets.modalities.audio import Audio
from ml_assets.modalities.base import Modality, Undecodable
from ml_assets.modalities.category import Category
from ml_assets.modalities.encoders.base import Backbone, Encoder, WordPieces
from ml_assets.modalities.image import Image
from ml_assets.modalities.mixed import Mixed, MixedEncoder
from ml_assets.modalities.number import Number
from ml_assets.modalities.text import Text
from ml_assets.modalities.time import Time
from ml_assets.registry import Registry

MODALITIES: Registry[Modality] = Registry("modality", Text, Image, Audio, Mixed)
"""What a project's samples may be, and the parts of mixed samples."""
PARTS: Registry[Modality] = Registry("kind of part", Number, Category, Time)
"""What parts of mixed samples may be beside that."""
ModalityField = MODALITIES.field(Modality)

__all__ = [
    "MODALITIES",
    "PARTS",
    "Audio",
    "Backbone",
    "Category",
    "Encoder",
    "Image",
    "Mixed",
    "MixedEncoder",
    "Modality",
    "ModalityField",
    "Number",
    "Text",
    "Time",
    "Undecodable",
    "WordPieces",
]
