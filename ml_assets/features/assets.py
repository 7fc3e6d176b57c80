"""The Dagster assets of the features stage: `embeddings` and `feature_set`."""

from typing import Any

import dagster as dg

from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import embed_with_each
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, log_to, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.tasks import Task
from ml_assets.texts.tables import markdown_table


def features_assets(project: str, settings: FeaturesSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The Dagster assets of the features stage."""
    names = settings.encoders(modality.default_encoder)

    @stage_asset(project, "features", "embeddings", deps=["samples"], kinds=["lance", "pytorch"], version=" ".join(names))
    def embeddings(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One vector per sample and encoder that a feature set names, computed once per sample.

        Made from `samples`; used to choose what people label, to train and to find the neighbours of a prediction.
        """
        done = embed_with_each(workspace.store(project), modality, names, log_to(context))
        first = modality.encoder(names[0])
        return result(
            done.digest,
            vectors=done.vectors,
            new=done.new,
            dimensions=first.dimensions,
            encoder=", ".join(names),
        )

    @stage_asset(project, "features", "feature_set", deps=["dataset", "embeddings"], kinds=["lance"], settings=[settings])
    def feature_set(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per sample for training or testing, with its class after merges.

        Made from the newest `dataset` and the choices under `features` in the YAML, which may name several sets side by
        side; used by training and evaluation.
        """
        store = workspace.store(project)
        tag = sets.newest_dataset(store.table("dataset").tags())
        dataset = store.table("dataset").read(tag=tag)
        made = [sets.choose(dataset, tag, options, task, names[0], name) for name, options in settings.each().items()]
        sets.save(store, made, now())
        classes = sets.class_counts((chosen for chosen, _ in made), task)
        return result(
            "-".join(chosen.id for chosen, _ in made),
            feature_set=", ".join(chosen.id for chosen, _ in made),
            dataset=tag,
            samples=max(chosen.rows.num_rows for chosen, _ in made),
            classes=dg.MetadataValue.md(markdown_table(["feature set", "encoder", "class", "train", "test"], classes)),
        )

    return [embeddings, feature_set]
