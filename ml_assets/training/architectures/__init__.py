"""The registry of network architectures: a new one is a file in this folder and its name in the list."""

from ml_assets.registry import Registry
from ml_assets.training.architectures.audio_cnn import AudioCNN
from ml_assets.training.architectures.base import Architecture
from ml_assets.training.architectures.bilstm import BiLSTM
from ml_assets.training.architectures.char_tagger import CharTagger
from ml_assets.training.architectures.detector import Detector
from ml_assets.training.architectures.fine_tune import FineTune
from ml_assets.training.architectures.fusion import Fusion
from ml_assets.training.architectures.image_cnn import ImageCNN
from ml_assets.training.architectures.mlp import MLP
from ml_assets.training.architectures.text_cnn import TextCNN
from ml_assets.training.architectures.token_classifier import TokenClassifier

ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", MLP, FineTune, TextCNN, BiLSTM, TokenClassifier, CharTagger, ImageCNN, Detector, AudioCNN, Fusion
)
ArchitectureField = ARCHITECTURES.field(Architecture)

__all__ = [
    "ARCHITECTURES",
    "MLP",
    "Architecture",
    "ArchitectureField",
    "AudioCNN",
    "BiLSTM",
    "CharTagger",
    "Detector",
    "FineTune",
    "Fusion",
    "ImageCNN",
    "TextCNN",
    "TokenClassifier",
]
