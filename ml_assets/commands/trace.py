"""`ml-assets trace`: finds a prediction in all projects and traces it back to its data."""

from ml_assets import settings
from ml_assets.monitoring.trace import Trace, UnknownPrediction, trace
from ml_assets.state.home import home
from ml_assets.store import ProjectStore, TableDamaged, projects
from ml_assets.store.records import is_text


def find(prediction_id: str) -> Trace:
    """Find the project of a prediction and return the prediction's trace. Raises `UnknownPrediction`.

    Projects with damaged tables are skipped; the error names them if no other project has the prediction.
    """
    there = projects()
    names = [name for name in settings.project_names() if name in there]
    unread: list[str] = []
    for name in names if is_text(prediction_id) else ():
        try:
            modality = settings.load(name).collection.modality
            return trace(ProjectStore(name), prediction_id, home() / "inference" / name, modality)
        except (UnknownPrediction, settings.ProjectError):
            continue
        except TableDamaged as error:
            unread.append(str(error))
    where = "; ".join([", ".join(names) or "there are none yet", *unread])
    raise UnknownPrediction(f"no prediction {prediction_id[:80]!r} in any project: {where}")
