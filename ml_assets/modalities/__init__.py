"""The registries of modalities: a new one is a file in this folder and its name in one of the lists."""

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
"""Modalities that a project's samples, and parts of mixed samples, may have."""
PARTS: Registry[Modality] = Registry("kind of part", Number, Category, Time)
"""Further modalities that only parts of mixed samples may have."""
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
