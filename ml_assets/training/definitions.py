"""Assembles the training stage of a project for Dagster."""

from ml_assets.modalities import Modality
from ml_assets.orchestration.stage import Stage
from ml_assets.tasks import Task
from ml_assets.training.assets import training_assets, training_jobs
from ml_assets.training.checks import training_checks
from ml_assets.training.settings import TrainingSettings


def definitions(project: str, settings: TrainingSettings, modality: Modality, task: Task) -> Stage:
    """The training stage of a project: its assets, checks and jobs."""
    return Stage(
        assets=training_assets(project, settings, modality, task),
        checks=training_checks(project, settings, modality),
        jobs=training_jobs(project),
    )
