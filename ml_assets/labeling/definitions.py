"""Assembles the labeling stage of a project for Dagster."""

from ml_assets.labeling.assets import VectorsOf, labeling_assets
from ml_assets.labeling.checks import labeling_checks
from ml_assets.labeling.connect import connect
from ml_assets.labeling.queue import short
from ml_assets.labeling.sensors import SECONDS, labeling_sensors, news
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.stage import Stage
from ml_assets.store import ProjectStore


def definitions(project: str, settings: LabelingSettings, modality: Modality, vectors: VectorsOf) -> Stage:
    """The labeling stage of a project: its assets, checks, sensors and probes."""
    return Stage(
        assets=labeling_assets(project, settings, modality, vectors),
        checks=labeling_checks(project, settings),
        sensors=labeling_sensors(project, settings),
        probes={
            "label_tasks": lambda: short(ProjectStore(project), connect(SECONDS), settings) or None,
            "annotations": lambda: news(project) or None,
        },
    )
