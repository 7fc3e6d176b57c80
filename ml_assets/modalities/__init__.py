"""Kinds of content. A new one is one file here and its name in this list."""

from ml_assets.modalities.base import Encoder, Modality, Undecodable, WordPieces
from ml_assets.modalities.text import Text
from ml_assets.registry import Registry

MODALITIES: Registry[Modality] = Registry("modality", Text)
ModalityField = MODALITIES.field(Modality)

__all__ = ["MODALITIES", "Encoder", "Modality", "ModalityField", "Text", "Undecodable", "WordPieces"]
