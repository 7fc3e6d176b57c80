"""What must hold of a feature set before a model is trained on it."""

import dagster as dg

from ml_assets.features import feature_set as sets
from ml_assets.features.embeddings import table_of
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Modality
from ml_assets.resources import Workspace, key
from ml_assets.tasks import Task

LOOKED_AT = 1000
"""Samples whose length is looked at."""
MAY_BE_UNREAD = 0.1
"""Share of the text that may stand behind what encoders read."""


def features_checks(project: str, settings: FeaturesSettings, modality: Modality, task: Task) -> list[dg.AssetChecksDefinition]:
    """The checks of the features stage; all but `read_whole` are blocking."""

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

    @dg.asset_check(asset=key(project, "embeddings"))
    def read_whole(workspace: Workspace) -> dg.AssetCheckResult:
        """Encoders read all of most samples: of long texts they read the beginning only, unless more windows are named."""
        store, wrong, figures = workspace.store(project), [], {}
        ids = sorted(store.table("samples").ids())[:LOOKED_AT]  # ids are hashes: the first ones are drawn at random
        items = store.table("samples").take(ids, [modality.column])[modality.column].to_pylist()
        for name in settings.encoders(modality.default_encoder):
            unread = modality.encoder(name).unread(items)
            share, cut = float(unread.mean()) if items else 0.0, int((unread > 0).sum())
            figures[f"share that {name} does not read"] = round(share, 4)
            if share > MAY_BE_UNREAD:
                wrong.append(
                    f"{name} does not read {share:.0%} of the text: {cut} of {len(items)} texts are longer than it looks; "
                    f"name the encoder {name.partition('*')[0]}*8 to read eight windows of each"
                )
        return dg.AssetCheckResult(
            passed=not wrong, severity=dg.AssetCheckSeverity.WARN, description="; ".join(wrong) or "they do", metadata=figures
        )

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

    return [every_sample_embedded, read_whole, splits_disjoint]
