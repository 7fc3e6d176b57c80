"""The class of trained models by the name of its module in earlier versions.

Models that these registered in MLflow hold a copy of `pyfunc.py`, which imports it from here.
"""

from ml_assets.training.trained_model import TrainedModel

__all__ = ["TrainedModel"]
