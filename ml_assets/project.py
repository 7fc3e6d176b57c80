"""`MLProject`, the Dagster component that turns a project's YAML into the definitions of its seven stages."""

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
        """Write the `defs.yaml` into the folder of the new project."""
        settings.write_new(request.target_path)


@dg.scaffold_with(ProjectScaffolder)
class MLProject(dg.Component):
    """A machine-learning project, named after the folder of its `defs.yaml`."""

    def __init__(self, name: str, settings: ProjectSettings):
        self.name, self.settings = named(name), settings

    @classmethod
    def declared(cls, name: str) -> tuple[Self, dg.Definitions]:
        """Load the declared project of this name; return it with its definitions.

        Raises `ProjectError`, also for values that only Dagster rejects, such as a cron schedule with an hour 99.
        """
        made = cls(name, settings.load(name))
        try:
            return made, made.build_defs()
        except dg.DagsterInvalidDefinitionError as error:
            sentence = " ".join(str(error).split())
            raise settings.ProjectError(f"{settings.short(settings.file_of(name))}: {sentence}") from error

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The model of the YAML's attributes, against which `dg` and editors validate it."""
        return ProjectSettings

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make the project from the attributes and the folder of a `defs.yaml`; Dagster calls this."""
        assert isinstance(attributes, ProjectSettings)
        return cls(context.path.name, attributes)

    @cached_property
    def stages(self) -> list[Stage]:
        """The definitions of the seven stages, in the order of the data flow."""
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
        """Make the Dagster definitions of all assets, checks, sensors, schedules and jobs of the project."""
        automation = dg.AutomationConditionSensorDefinition(
            f"{self.name}_automation",
            target=dg.AssetSelection.groups(self.name),
            default_status=dg.DefaultSensorStatus.RUNNING,
            run_tags={"ml_assets/project": self.name},
        )
        return dg.Definitions.merge(*(stage.definitions for stage in self.stages), dg.Definitions(sensors=[automation]))

    def vectors(self, store: ProjectStore, ids: Sequence[str]) -> NDArray[np.float32]:
        """Read the embeddings of samples for the label queue, `(n, d) float32`."""
        modality = self.settings.collection.modality
        encoder = modality.encoder(self.settings.features.encoder or modality.default_encoder)
        return vectors_of(table_of(store, encoder), ids)
