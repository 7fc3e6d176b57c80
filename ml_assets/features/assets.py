"""`embeddings` and `feature_set`: what models see of the samples."""

from typing import Any

import dagster as dg

from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import embed_new, table_of
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Modality
from ml_assets.progress import report
from ml_assets.records import now
from ml_assets.resources import Workspace, result, stage_asset
from ml_assets.tasks import Task


def features_assets(project: str, settings: FeaturesSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The assets of the features stage."""

    @stage_asset(project, "features", "embeddings", deps=["samples"], kinds=["lance", "pytorch"], version=settings.encoder)
    def embeddings(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One vector per sample, from the encoder of the feature set. Computed once per sample, never again.

        Made from `samples`; used to choose what people label, to train and to find the neighbours of a prediction.
        """
        store, encoder = workspace.store(project), modality.encoder(settings.encoder)

        def say(done: int, total: int) -> None:
            context.log.info(f"embedded {done} of {total} samples")
            report("samples embedded", done, total)

        new = embed_new(store, modality, encoder, say)
        table = table_of(store, encoder)
        return result(table.digest(["id"]), vectors=table.count(), new=new, dimensions=encoder.dimensions, encoder=encoder.name)

    @stage_asset(project, "features", "feature_set", deps=["dataset", "embeddings"], kinds=["lance"], settings=[settings])
    def feature_set(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per sample that a model learns from or is tested on, with its class after merges.

        Made from the newest `dataset` and the choices under `features` in the YAML; used by training and evaluation.
        """
        store = workspace.store(project)
        tag = newest_dataset(store.table("dataset").tags())
        chosen, recipe = sets.choose(store.table("dataset").read(tag=tag), tag, settings, task)
        sets.save(store, chosen, recipe, now())
        lines = [f"| {name} | {chosen.counts('train')[name]} | {chosen.counts('test')[name]} |" for name in chosen.classes]
        counts = dg.MetadataValue.md("\n".join(["| class | train | test |", "|---|---|---|", *lines]))
        return result(chosen.id, feature_set=chosen.id, dataset=tag, samples=chosen.rows.num_rows, classes=counts)

    return [embeddings, feature_set]


def newest_dataset(tags: list[str]) -> str:
    """The tag that was made last; a clear failure where there is none."""
    if not tags:
        raise dg.Failure("there is no dataset yet: label some samples first")
    return tags[-1]
