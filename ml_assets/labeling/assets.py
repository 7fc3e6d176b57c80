"""`label_tasks`, `suggestions`, `annotations`, `labels` and `dataset`: from samples to what is known of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml_assets.labeling import dataset as datasets
from ml_assets.labeling.accounts import programs
from ml_assets.labeling.annotations import GIVEN, PUSHED, from_given, mark_deleted, not_given, with_stored_ids
from ml_assets.labeling.connect import connect
from ml_assets.labeling.consensus import consolidate, overruled
from ml_assets.labeling.given import collect_given
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import ls_project_of, push_queue
from ml_assets.labeling.settings import LabelingSettings
from ml_assets.labeling.suggestions import Refreshed, outdated, refresh
from ml_assets.labeling.watch import watch
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, changed, result, stage_asset
from ml_assets.spool import inbox
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.state.progress import report
from ml_assets.store import ProjectStore

VectorsOf = Callable[[ProjectStore, Sequence[str]], NDArray[np.float32]]
"""The embeddings of samples by their ids; embeddings are a later stage's, so the project passes this in."""


def labeling_assets(
    project: str, settings: LabelingSettings, modality: Modality, vectors: VectorsOf
) -> list[dg.AssetsDefinition]:
    """The assets of the labeling stage."""

    @stage_asset(project, "labeling", "label_tasks", deps=["samples", "embeddings"], kinds=["labelstudio"], settings=[settings])
    def label_tasks(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per sample that people are asked about in Label Studio, with why it was chosen.

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
        """What the tasks that wait in Label Studio show: what the model says that serves now.

        Made from `label_tasks` and `batch_predictions`. What people began keeps what they saw; test samples show nothing.
        """
        store = workspace.store(project)
        ls_project, done = ls_project_of(store), Refreshed()
        if ls_project is not None and (rows := outdated(store, ls_project)):
            done = refresh(store, connect(), ls_project, settings.task, rows, partial(report, "suggestions"))
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
        """One row per annotation: who gave which answer to which sample, when, and whether it was taken back.

        Made from Label Studio, where people answer, from labels that came with the data and from those sent to the API.
        """
        store, task = workspace.store(project), settings.task
        given = collect_given(store, inbox.folder(project, "labels"), task, modality, now())
        table = store.table("annotations")
        stored = table.read(where=f"origin IN ('{GIVEN}', '{PUSHED}')")
        came = with_stored_ids(from_given(store.table("given_labels").read()), stored)
        table.upsert(came)
        table.upsert(mark_deleted(not_given(stored, came)))
        ls_project, found = ls_project_of(store), None
        if ls_project is not None:
            client = connect()
            for told in watch(store, client, ls_project, settings, modality, "annotations"):
                context.log.warning(told)
            if client.project(ls_project) is not None:  # else `label_tasks` begins anew
                found = pull(store, client, ls_project, task, programs())
        for wrong in found.invalid if found else ():
            context.log.warning(f"task {wrong.task_id} in Label Studio: {wrong.reason}")
        return result(
            table.digest(["sample_id", "labeler", "value", "deleted"]),
            annotations=table.count("deleted = false"),
            changed_now=found.changed if found else 0,
            taken_back_now=found.deleted if found else 0,
            given_now=given.received,
            given_rejected_now=given.rejected,
            invalid=len(found.invalid) if found else 0,
        )

    @stage_asset(project, "labeling", "labels", deps=["annotations"], kinds=["lance"], settings=[settings.task])
    def labels(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per annotated sample: the answer on which its annotators agree, and how far they do.

        Made from `annotations`; where they are tied there is a conflict and no label. Of a test sample whose label came with
        the data, what is pushed through the API does not count.
        """
        store = workspace.store(project)
        given, test = store.table("annotations").read(), store.table("samples").ids("split = 'test'")
        found = consolidate(given, settings.task, test)
        table = store.table("labels")
        gone = table.ids() - set(found["id"].to_pylist())
        for start in range(0, len(gone), 1000):
            listed = ", ".join(f"'{i}'" for i in sorted(gone)[start : start + 1000])
            table.delete(f"id IN ({listed})")
        table.upsert(found)
        several = found.filter(pc.greater(found["annotators"], 1))["agreement"].to_pylist()
        return result(
            table.digest(),
            labels=table.count("conflict = false"),
            conflicts=table.count("conflict = true"),
            mean_agreement=round(float(np.mean(several)), 4) if several else "no sample has several answers",
            pushed_not_counted=overruled(given, test).num_rows,
        )

    @stage_asset(project, "labeling", "dataset", deps=["labels", "samples"], kinds=["lance"])
    def dataset(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Which samples, with which labels, in which split: a tag that can be read for ever.

        Made from `labels` and `samples`; everything that is learnt from labels names the tag it used.
        """
        store = workspace.store(project)
        rows, tag = datasets.build(store.table("labels").read(), store.table("samples").read(["id", "split"]))
        store.table("dataset").replace(rows, tag)
        counts: dict[str, dict[str, int]] = {}
        for row in rows.to_pylist():
            for name in settings.task.classes_in(row["value"]):
                counts.setdefault(name, {"train": 0, "test": 0})[row["split"]] += 1
        lines = [f"| {name} | {by['train']} | {by['test']} |" for name, by in sorted(counts.items())]
        splits = Counter(rows["split"].to_pylist())
        return result(
            tag,
            tag=tag,
            samples=rows.num_rows,
            train=splits["train"],
            test=splits["test"],
            classes=dg.MetadataValue.md("\n".join(["| class | train | test |", "|---|---|---|", *lines])),
        )

    return [label_tasks, suggestions, annotations, labels, dataset]
