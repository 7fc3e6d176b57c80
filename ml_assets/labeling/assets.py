"""The Dagster assets of the labeling stage: `label_tasks`, `suggestions`, `annotations`, `labels` and `dataset`."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from ml_assets.labeling import consensus
from ml_assets.labeling import dataset as datasets
from ml_assets.labeling.answers import pull_answers
from ml_assets.labeling.connect import connect
from ml_assets.labeling.given import annotate_given, collect_given
from ml_assets.labeling.queue import ls_project_of, push_queue
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.labeling.suggestions import refresh_outdated
from ml_assets.labeling.watch import watch
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, changed, result, stage_asset
from ml_assets.spool import inbox
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.state.progress import report
from ml_assets.store import ProjectStore
from ml_assets.texts.tables import markdown_table

VectorsOf = Callable[[ProjectStore, Sequence[str]], NDArray[np.float32]]
"""Type of a function that returns embeddings for sample ids; the project passes it in, as embeddings belong to a later stage.
"""


def labeling_assets(
    project: str, settings: LabelingSettings, modality: Modality, vectors: VectorsOf
) -> list[dg.AssetsDefinition]:
    """The Dagster assets of the labeling stage."""

    @stage_asset(project, "labeling", "label_tasks", deps=["samples", "embeddings"], kinds=["labelstudio"], settings=[settings])
    def label_tasks(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per sample that people are asked to label in Label Studio, with the reason why it was chosen.

        Made from `samples` and `embeddings`; when a model serves, tasks show its prediction. However often it runs and
        wherever it is interrupted, a sample gets one task.
        """
        store, client = workspace.store(project), connect()
        for told in watch(store, client, ls_project_of(store), settings, modality, "label_tasks"):
            context.log.warning(told)
        done = push_queue(store, client, settings, modality, lambda ids: vectors(store, ids), now())
        table = store.table("label_tasks")
        return result(
            table.digest(["id", "task_id"]),
            tasks=table.count(),
            pushed_now=done.pushed,
            waiting=done.waiting,
            label_studio=dg.MetadataValue.url(f"{url('label_studio')}/projects/{done.ls_project}/data"),
        )

    @stage_asset(
        project,
        "labeling",
        "suggestions",
        deps=["label_tasks", "batch_predictions"],
        kinds=["labelstudio"],
        settings=[settings.task],
        automation_condition=changed(or_missing=False),
    )
    def suggestions(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The predictions of the serving model, as shown by the tasks that wait in Label Studio.

        Made from `label_tasks` and `batch_predictions`. What people began keeps what they saw; test samples show nothing.
        """
        store = workspace.store(project)
        done = refresh_outdated(store, connect, settings.task, partial(report, "suggestions"))
        table = store.table("label_tasks")
        return result(
            table.digest(["id", "predicted", "model"]),
            showing=table.count("predicted IS NOT NULL"),
            changed_now=done.shown,
            confirmed_now=done.same,
            begun=done.begun,
        )

    @stage_asset(
        project, "labeling", "annotations", deps=["label_tasks", "samples"], kinds=["labelstudio"], settings=[settings.task]
    )
    def annotations(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per annotation: who gave which answer to which sample, when, and whether it was deleted.

        Made from Label Studio, where people answer, from labels that came with the data and from those sent to the API.
        """
        store = workspace.store(project)
        given = collect_given(store, inbox.folder(project, "labels"), settings.task, modality, now())
        annotate_given(store)
        found = pull_answers(store, connect, settings, modality, context.log.warning)
        table = store.table("annotations")
        return result(
            table.digest(["sample_id", "labeler", "value", "deleted"]),
            annotations=table.count("deleted = false"),
            changed_now=found.changed,
            taken_back_now=found.deleted,
            given_now=given.received,
            given_rejected_now=given.rejected,
            invalid=len(found.invalid),
        )

    @stage_asset(project, "labeling", "labels", deps=["annotations"], kinds=["lance"], settings=[settings.task])
    def labels(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per annotated sample: the label on which its annotators agree, and how far they agree.

        Made from `annotations`; where they are tied there is a conflict and no label. Of a test sample whose label came with
        the data, what is pushed through the API does not count.
        """
        store = workspace.store(project)
        given, test = store.table("annotations").read(), store.table("samples").ids("split = 'test'")
        found, table = consensus.consolidate(given, settings.task, test), store.table("labels")
        consensus.keep(table, found)
        agreement = consensus.mean_agreement(found)
        return result(
            table.digest(),
            labels=table.count("conflict = false"),
            conflicts=table.count("conflict = true"),
            mean_agreement="no sample has several answers" if agreement is None else round(agreement, 4),
            pushed_not_counted=consensus.overruled(given, test).num_rows,
        )

    @stage_asset(project, "labeling", "dataset", deps=["labels", "samples"], kinds=["lance"])
    def dataset(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The labelled samples with their labels and splits, stored under a tag that always stays readable.

        Made from `labels` and `samples`; everything that is learnt from labels names the tag it used.
        """
        store = workspace.store(project)
        rows, tag = datasets.build(store.table("labels").read(), store.table("samples").read(["id", "split"]))
        store.table("dataset").replace(rows, tag)
        splits = Counter(rows["split"].to_pylist())
        classes = [(name, by["train"], by["test"]) for name, by in datasets.class_counts(rows, settings.task).items()]
        return result(
            tag,
            tag=tag,
            samples=rows.num_rows,
            train=splits["train"],
            test=splits["test"],
            classes=dg.MetadataValue.md(markdown_table(["class", "train", "test"], classes)),
        )

    return [label_tasks, suggestions, annotations, labels, dataset]
