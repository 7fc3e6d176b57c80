"""`MLProject`: one YAML file, seven stages. This is the table of contents."""

from collections.abc import Callable, Sequence
from typing import Self

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ml_assets import settings
from ml_assets.collection.assets import collection_assets
from ml_assets.collection.checks import collection_checks
from ml_assets.collection.collect import new_files
from ml_assets.collection.sensors import collection_sensors
from ml_assets.deployment.assets import deployment_assets, deployment_jobs
from ml_assets.deployment.checks import deployment_checks
from ml_assets.features.assets import features_assets
from ml_assets.features.checks import features_checks
from ml_assets.features.embeddings import table_of, vectors_of
from ml_assets.home import home
from ml_assets.labeling.assets import labeling_assets
from ml_assets.labeling.checks import labeling_checks
from ml_assets.labeling.connect import connect
from ml_assets.labeling.queue import short
from ml_assets.labeling.sensors import labeling_sensors, news
from ml_assets.monitoring.assets import monitoring_assets
from ml_assets.monitoring.checks import monitoring_checks
from ml_assets.monitoring.inference_log import pending
from ml_assets.monitoring.sensors import monitoring_schedules
from ml_assets.monitoring.traffic import stale_days
from ml_assets.records import now
from ml_assets.settings import ProjectSettings
from ml_assets.store import ProjectStore, named
from ml_assets.training.assets import training_assets, training_jobs
from ml_assets.training.checks import training_checks
from ml_assets.visualization.assets import visualization_assets
from ml_assets.visualization.checks import visualization_checks

PROBE_SECONDS = 10.0
"""How long a probe waits for Label Studio."""


class ProjectScaffolder(dg.Scaffolder):
    """Writes a `defs.yaml` with every stage; `dg scaffold defs ml_assets.project.MLProject NAME` and `ml-assets new` use it."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write the file, whole."""
        settings.write_new(request.target_path)


@dg.scaffold_with(ProjectScaffolder)
class MLProject(dg.Component):
    """A machine-learning project. Its name is that of the folder that holds its `defs.yaml`."""

    def __init__(self, name: str, settings: ProjectSettings):
        self.name, self.settings = named(name), settings

    @classmethod
    def declared(cls, name: str) -> tuple[Self, dg.Definitions]:
        """The project that is declared under this name, with its definitions.

        Raises `ProjectError`, also for what is wrong in Dagster's eyes alone, such as a cron text with an hour 99.
        """
        made = cls(name, settings.load(name))
        try:
            return made, made.build_defs()
        except dg.DagsterInvalidDefinitionError as error:
            sentence = " ".join(str(error).split())
            raise settings.ProjectError(f"{settings.short(settings.file_of(name))}: {sentence}") from error

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of the YAML's attributes, which `dg` and editors check against."""
        return ProjectSettings

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The project of a `defs.yaml`."""
        assert isinstance(attributes, ProjectSettings)
        return cls(context.path.name, attributes)

    def build_defs(self, context: dg.ComponentLoadContext | None = None) -> dg.Definitions:
        """All assets, checks, sensors, schedules and jobs of the project."""
        name, s = self.name, self.settings
        modality, task = s.collection.modality, s.labeling.task
        schedules, monitoring_jobs = monitoring_schedules(name, s.monitoring)
        automation = dg.AutomationConditionSensorDefinition(
            f"{name}_automation",
            target=dg.AssetSelection.groups(name),
            default_status=dg.DefaultSensorStatus.RUNNING,
            run_tags={"ml_assets/project": name},
        )
        return dg.Definitions(
            assets=[
                *collection_assets(name, s.collection, task),
                *labeling_assets(name, s.labeling, modality, self.vectors),
                *visualization_assets(name, s.visualization, modality, task),
                *features_assets(name, s.features, modality, task),
                *training_assets(name, s.training, modality, task),
                *deployment_assets(name, s.deployment, modality, task),
                *monitoring_assets(name, s.monitoring, modality, task),
            ],
            asset_checks=[
                *collection_checks(name, s.collection, task),
                *labeling_checks(name, s.labeling),
                *visualization_checks(name),
                *features_checks(name, s.features, modality, task),
                *training_checks(name, s.training, modality),
                *deployment_checks(name, task),
                *monitoring_checks(name, s.monitoring, task),
            ],
            sensors=[*collection_sensors(name, s.collection, task), *labeling_sensors(name, s.labeling), automation],
            schedules=schedules,
            jobs=[*training_jobs(name), *deployment_jobs(name), *monitoring_jobs],
        )

    def probes(self) -> dict[str, Callable[[], str | None]]:
        """For the assets that look at the outside world: what is new there, in a few words."""
        name, s, store = self.name, self.settings, ProjectStore(self.name)

        def samples() -> str | None:
            found, _ = new_files(store, s.collection, s.labeling.task, now())
            return f"{len(found)} new or changed files" if found else None

        return {
            "samples": samples,
            "label_tasks": lambda: short(store, connect(PROBE_SECONDS), s.labeling) or None,
            "annotations": lambda: news(name) or None,
            "inference_log": lambda: "new predictions" if pending(store, home() / "inference" / name, now()) else None,
        }

    def partitions(self) -> dict[str, Callable[[], list[str]]]:
        """For the partitioned assets: the partitions whose data changed."""
        store = ProjectStore(self.name)
        return {"profiles": lambda: stale_days(store, now())}

    def vectors(self, store: ProjectStore, ids: Sequence[str]) -> NDArray[np.float32]:
        """`(n, d) float32` embeddings of these samples, as the label queue needs them."""
        modality = self.settings.collection.modality
        encoder = modality.encoder(self.settings.features.encoder or modality.default_encoder)
        return vectors_of(table_of(store, encoder), ids)
