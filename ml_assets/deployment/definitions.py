"""Assembles the deployment stage of a project for Dagster."""

from ml_assets.deployment.assets import deployment_assets, deployment_jobs
from ml_assets.deployment.checks import deployment_checks
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.stage import Stage
from ml_assets.tasks import Task


def definitions(project: str, settings: DeploymentSettings, modality: Modality, task: Task) -> Stage:
    """The deployment stage of a project: its assets, checks and jobs."""
    return Stage(
        assets=deployment_assets(project, settings, modality, task),
        checks=deployment_checks(project, task),
        jobs=deployment_jobs(project),
    )
