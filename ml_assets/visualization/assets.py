"""`dataset_report`: the whole dataset to look at."""

from typing import Any

import dagster as dg

from ml_assets.charts import markdown
from ml_assets.labeling import dataset as datasets
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, changed, key, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.tasks import Task
from ml_assets.visualization import figures, report
from ml_assets.visualization.settings import VisualizationSettings

OPTIONAL = ("evaluation", "cross_predictions", "batch_predictions")
"""Where the predictions come from; before the first model there are none."""


def visualization_assets(
    project: str, settings: VisualizationSettings, modality: Modality, task: Task
) -> list[dg.AssetsDefinition]:
    """The assets of the visualization stage."""

    @stage_asset(
        project,
        "visualization",
        "dataset_report",
        deps=["samples", "label_tasks", "annotations", "labels"],
        optional=OPTIONAL,
        kinds=["html"],
        settings=[settings],
        automation_condition=changed(optional=[key(project, noun) for noun in OPTIONAL]),
    )
    def dataset_report(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The whole dataset as one HTML page: counts, every item, how it is labelled and by whom.

        Made from `samples`, `label_tasks`, `annotations` and `labels`, and from what models say of them, as far as there are
        some; for everybody who wants to see whether they are clean.
        """
        store = workspace.store(project)
        _, tag = datasets.build(store.table("labels").read(), store.table("samples").read(["id", "split"]))
        data = report.collect(store, modality, task, settings, report.addresses(), at=now(), dataset=tag)
        path, counts = report.write(data, workspace.folder("reports", project)), data.overview
        pictures = figures.charts_of(counts)
        return result(
            report.content_digest(store),
            page=dg.MetadataValue.url(f"{url('explorer')}/{project}/"),
            file=dg.MetadataValue.path(str(path)),
            samples=counts.samples,
            labelled=counts.statuses.get("labelled", 0),
            rejected=counts.rejected,
            **{name: dg.MetadataValue.md(markdown(png, name)) for name, png in pictures.items()},
        )

    return [dataset_report]
