"""Networks. A new one is one file here and its name in this list."""

from ml_assets.registry import Registry
from ml_assets.training.architectures.base import Architecture
from ml_assets.training.architectures.mlp import MLP

ARCHITECTURES: Registry[Architecture] = Registry("architecture", MLP)
ArchitectureField = ARCHITECTURES.field(Architecture)

__all__ = ["ARCHITECTURES", "MLP", "Architecture", "ArchitectureField"]
