"""`ml-assets trace`: finds the project of a prediction and traces it."""

from ml_assets import settings
from ml_assets.home import home
from ml_assets.monitoring.trace import Trace, UnknownPrediction, trace
from ml_assets.store import ProjectStore, projects


def find(prediction_id: str) -> Trace:
    """The trace, whichever project the prediction belongs to. Raises `UnknownPrediction`."""
    names = [name for name in settings.project_names() if name in projects()]
    for name in names:
        try:
            modality = settings.load(name).collection.modality
            return trace(ProjectStore(name), prediction_id, home() / "inference" / name, modality)
        except (UnknownPrediction, settings.ProjectError):
            continue
    raise UnknownPrediction(f"no prediction {prediction_id!r} in any project: {', '.join(names) or 'there are none yet'}")
