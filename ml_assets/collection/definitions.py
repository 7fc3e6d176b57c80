"""Assembles the collection stage of a project for Dagster."""

from ml_assets.collection.assets import collection_assets
from ml_assets.collection.checks import collection_checks
from ml_assets.collection.collect import new_files
from ml_assets.collection.sensors import collection_sensors
from ml_assets.collection.settings import CollectionSettings
from ml_assets.orchestration.stage import Stage
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task


def definitions(project: str, settings: CollectionSettings, task: Task) -> Stage:
    """The collection stage of a project: its assets, checks, sensors and probes."""

    def new_samples() -> str | None:
        found, _ = new_files(ProjectStore(project), settings, task, now())
        return f"{len(found)} new or changed files" if found else None

    return Stage(
        assets=collection_assets(project, settings, task),
        checks=collection_checks(project, settings, task),
        sensors=collection_sensors(project, settings, task),
        probes={"samples": new_samples},
    )
