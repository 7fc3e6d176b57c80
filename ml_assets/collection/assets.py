"""The Dagster asset of the collection stage: `samples`."""

from typing import Any

import dagster as dg

from ml_assets.collection.collect import collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.totals import content_digest, require_samples, totals
from ml_assets.orchestration.resources import Workspace, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.tasks import Task


def collection_assets(project: str, settings: CollectionSettings, task: Task) -> list[dg.AssetsDefinition]:
    """The Dagster assets of the collection stage."""

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
        version = content_digest(store)
        require_samples(store, settings, done.problems)
        problems = "\n".join(f"- {p}" for p in done.problems) or "none"
        return result(version, **totals(store, done), problems=dg.MetadataValue.md(problems))

    return [samples]
