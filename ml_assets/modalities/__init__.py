"""Kinds of content. A new one is one file here and its name in this list."""

from ml_assets.modalities.audio import Audio
from ml_assets.modalities.base import Modality, Undecodable
from ml_assets.modalities.encoders.base import Backbone, Encoder, WordPieces
from ml_assets.modalities.image import Image
from ml_assets.modalities.mixed import Mixed, MixedEncoder
from ml_assets.modalities.text import Text
from ml_assets.registry import Registry

MODALITIES: Registry[Modality] = Registry("modality", Text, Image, Audio, Mixed)
ModalityField = MODALITIES.field(Modality)

__all__ = [
    "MODALITIES",
    "Audio",
    "Backbone",
    "Encoder",
    "Image",
    "Mixed",
    "MixedEncoder",
    "Modality",
    "ModalityField",
    "Text",
    "Undecodable",
    "WordPieces",
]
