"""Alias of `TrainedModel` under the module name of earlier versions.

Models that these versions registered in MLflow hold a copy of `pyfunc.py` that imports the class from here.
"""

from ml_assets.training.trained_model import TrainedModel

__all__ = ["TrainedModel"]
