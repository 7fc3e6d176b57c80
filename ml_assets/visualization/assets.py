"""The asset of the visualization stage: `dataset_report`, an HTML page of the whole dataset."""

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
"""Assets that the report's predictions come from; they do not exist before the first model."""


def visualization_assets(
    project: str, settings: VisualizationSettings, modality: Modality, task: Task
) -> list[dg.AssetsDefinition]:
    """Make the assets of the visualization stage of a project."""

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
        """The whole dataset as one HTML page: counts, and the items with their labels, labelers and predictions.

        Made from `samples`, `label_tasks`, `annotations` and `labels`, and from the predictions of models, if there are any;
        for everybody who wants to check the quality of the data.
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
