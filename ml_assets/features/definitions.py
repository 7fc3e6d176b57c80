"""Assembles the features stage of a project for Dagster."""

from ml_assets.features.assets import features_assets
from ml_assets.features.checks import features_checks
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.stage import Stage
from ml_assets.tasks import Task


def definitions(project: str, settings: FeaturesSettings, modality: Modality, task: Task) -> Stage:
    """The features stage of a project: its assets and checks."""
    return Stage(
        assets=features_assets(project, settings, modality, task),
        checks=features_checks(project, settings, modality, task),
    )
