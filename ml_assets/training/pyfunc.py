"""The MLflow model class: loads a registered model from this code and a safetensors file, without pickle."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class PyfuncModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model for `mlflow.pyfunc.load_model("models:/<project>@champion").predict(["text", …])`."""

    def load_context(self, context: Any) -> None:
        """Load the model from its folder among the artifacts."""
        from ml_assets.training.trained_model import TrainedModel

        self.model = TrainedModel.load(Path(context.artifacts["folder"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # MLflow reads hints as a schema
        """A data frame with `label`, `confidence` and one column of probabilities per class."""
        column = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else model_input
        predicted = self.model.predict([self.model.modality.decode(item) for item in column])
        scores = pd.DataFrame(predicted.scores, columns=self.model.classes)
        return pd.concat([pd.DataFrame({"label": predicted.labels, "confidence": predicted.confidence}), scores], axis=1)


mlflow.models.set_model(PyfuncModel())
