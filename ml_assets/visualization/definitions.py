"""Assembles the visualization stage of a project."""

from ml_assets.modalities import Modality
from ml_assets.orchestration.stage import Stage
from ml_assets.tasks import Task
from ml_assets.visualization.assets import visualization_assets
from ml_assets.visualization.checks import visualization_checks
from ml_assets.visualization.settings import VisualizationSettings


def definitions(project: str, settings: VisualizationSettings, modality: Modality, task: Task) -> Stage:
    """Make the visualization stage of a project: its asset `dataset_report` and the check of it."""
    return Stage(
        assets=visualization_assets(project, settings, modality, task),
        checks=visualization_checks(project),
    )
