"""Assembles the monitoring stage of a project for Dagster."""

from ml_assets.modalities import Modality
from ml_assets.monitoring.assets import monitoring_assets
from ml_assets.monitoring.checks import monitoring_checks
from ml_assets.monitoring.sensors import monitoring_schedules
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.monitoring.traffic import stale_days
from ml_assets.orchestration.stage import Stage
from ml_assets.spool.adoption import pending
from ml_assets.state.clock import now
from ml_assets.state.home import home
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task


def definitions(project: str, settings: MonitoringSettings, modality: Modality, task: Task) -> Stage:
    """The monitoring stage of a project: its assets, checks, schedules, jobs, probes and partitions."""
    schedules, jobs = monitoring_schedules(project, settings)

    def new_predictions() -> str | None:
        return "new predictions" if pending(ProjectStore(project), home() / "inference" / project, now()) else None

    return Stage(
        assets=monitoring_assets(project, settings, modality, task),
        checks=monitoring_checks(project, settings, task),
        schedules=schedules,
        jobs=jobs,
        probes={"inference_log": new_predictions},
        partitions={"profiles": lambda: stale_days(ProjectStore(project), now())},
    )
