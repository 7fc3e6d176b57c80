"""`samples`: what was collected."""

from typing import Any

import dagster as dg

from ml_assets.collection.collect import collect, unreadable
from ml_assets.collection.settings import CollectionSettings
from ml_assets.orchestration.resources import Workspace, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.tasks import Task

CONTENT = ["id", "split", "group", "columns"]


def collection_assets(project: str, settings: CollectionSettings, task: Task) -> list[dg.AssetsDefinition]:
    """The assets of the collection stage."""

    @stage_asset(project, "collection", "samples", kinds=["lance"], settings=[settings, task])
    def samples(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per clean, distinct sample, with where it came from and its split.

        Made from the sources of the project and from what was pushed to the API. Records that failed are in the table
        `rejects` with the reason; received = accepted + duplicates + rejected.
        """
        store = workspace.store(project)
        done = collect(store, settings, task, now(), context.log.info)
        for problem in done.problems:
            context.log.warning(problem)
        table, rejects = store.table("samples"), store.table("rejects")
        # labels that come with the data are content too: what is made from them must see them change
        version = table.digest(CONTENT) + store.table("given_labels").digest(["sample_id", "labeler", "value"])
        if table.count() == 0:
            others = f"{rejects.count()} records were rejected, and there are no others"
            why = [*done.problems, *unreadable(store, settings), others if rejects.count() else "the sources are empty"]
            raise dg.Failure(f"nothing could be collected: {why[0]}")
        return result(
            version,
            samples=table.count(),
            received_now=done.received,
            duplicates_now=done.duplicates,
            rejected_now=done.rejected,
            train=table.count("split = 'train'"),
            test=table.count("split = 'test'"),
            rejects=rejects.count(),
            accepted_now=done.accepted,
            problems=dg.MetadataValue.md("\n".join(f"- {p}" for p in done.problems) or "none"),
        )

    return [samples]
