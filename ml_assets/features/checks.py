"""What must hold of a feature set before a model is trained on it."""

import dagster as dg

from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import table_of
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Modality
from ml_assets.resources import Workspace, key
from ml_assets.tasks import Task


def features_checks(project: str, settings: FeaturesSettings, modality: Modality, task: Task) -> list[dg.AssetChecksDefinition]:
    """The checks of the features stage; both are blocking."""

    @dg.asset_check(asset=key(project, "embeddings"), blocking=True)
    def every_sample_embedded(workspace: Workspace) -> dg.AssetCheckResult:
        """Each sample has a vector."""
        store = workspace.store(project)
        samples = store.table("samples").ids()
        missing = {
            name: len(samples - table_of(store, modality.encoder(name)).ids())
            for name in settings.encoders(modality.default_encoder)
        }
        return dg.AssetCheckResult(passed=not any(missing.values()), metadata={"samples without a vector": missing})

    @dg.asset_check(asset=key(project, "feature_set"), blocking=True)
    def splits_disjoint(workspace: Workspace) -> dg.AssetCheckResult:
        """No sample stands in two splits, and every class has at least two training samples."""
        wrong = []
        for chosen in sets.current(workspace.store(project)):
            ids = chosen.rows["id"].to_pylist()
            few = [name for name, count in chosen.counts("train", task).items() if count < 2]
            wrong += [f"{len(ids) - len(set(ids))} samples stand twice"] * (len(ids) != len(set(ids)))
            wrong += [f"fewer than 2 training samples of {', '.join(few)}: label more"] * bool(few)
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(dict.fromkeys(wrong)))

    return [every_sample_embedded, splits_disjoint]
