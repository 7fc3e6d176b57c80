"""`MLProject`: one YAML file, seven stages. This is the table of contents."""

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import dagster as dg
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ml_assets import settings
from ml_assets.collection.definitions import definitions as collection
from ml_assets.deployment.definitions import definitions as deployment
from ml_assets.features.definitions import definitions as features
from ml_assets.features.embeddings import table_of, vectors_of
from ml_assets.labeling.definitions import definitions as labeling
from ml_assets.monitoring.definitions import definitions as monitoring
from ml_assets.orchestration.stage import Stage
from ml_assets.settings import ProjectSettings
from ml_assets.state.names import named
from ml_assets.store import ProjectStore
from ml_assets.training.definitions import definitions as training
from ml_assets.visualization.definitions import definitions as visualization


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

    @cached_property
    def stages(self) -> list[Stage]:
        """The seven stages, in the order of the data."""
        name, s = self.name, self.settings
        modality, task = s.collection.modality, s.labeling.task
        return [
            collection(name, s.collection, task),
            labeling(name, s.labeling, modality, self.vectors),
            visualization(name, s.visualization, modality, task),
            features(name, s.features, modality, task),
            training(name, s.training, modality, task),
            deployment(name, s.deployment, modality, task),
            monitoring(name, s.monitoring, modality, task),
        ]

    def build_defs(self, context: dg.ComponentLoadContext | None = None) -> dg.Definitions:
        """All assets, checks, sensors, schedules and jobs of the project."""
        automation = dg.AutomationConditionSensorDefinition(
            f"{self.name}_automation",
            target=dg.AssetSelection.groups(self.name),
            default_status=dg.DefaultSensorStatus.RUNNING,
            run_tags={"ml_assets/project": self.name},
        )
        return dg.Definitions.merge(*(stage.definitions for stage in self.stages), dg.Definitions(sensors=[automation]))

    def vectors(self, store: ProjectStore, ids: Sequence[str]) -> NDArray[np.float32]:
        """`(n, d) float32` embeddings of these samples, as the label queue needs them."""
        modality = self.settings.collection.modality
        encoder = modality.encoder(self.settings.features.encoder or modality.default_encoder)
        return vectors_of(table_of(store, encoder), ids)
