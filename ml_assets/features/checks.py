"""Dagster asset checks on embeddings and feature sets, which run before a model is trained."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from ml_assets.features import feature_set as sets
from ml_assets.features import near_duplicates
from ml_assets.features.embeddings import table_of
from ml_assets.features.settings import FeaturesSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task

LOOKED_AT = 1000
"""Number of samples whose length and language are checked."""
SHOWN = 40
"""Number of characters shown of a text with unknown letters."""
MAY_BE_UNREAD = 0.1
"""Share of the text that encoders may leave unread because it is too long, without a warning."""
MAY_BE_UNKNOWN = 0.3
"""Share of the letters that encoders may not know, without a warning; near zero for texts in their language."""


def features_checks(project: str, settings: FeaturesSettings, modality: Modality, task: Task) -> list[dg.AssetChecksDefinition]:
    """The Dagster asset checks of the features stage; some of them block the stages that follow."""

    @dg.asset_check(asset=key(project, "embeddings"), blocking=True)
    def every_sample_embedded(workspace: Workspace) -> dg.AssetCheckResult:
        """Each sample has a vector of every encoder in use."""
        store = workspace.store(project)
        samples = store.table("samples").ids()
        missing = {
            name: len(samples - table_of(store, modality.encoder(name)).ids())
            for name in settings.encoders(modality.default_encoder)
        }
        return dg.AssetCheckResult(passed=not any(missing.values()), metadata={"samples without a vector": missing})

    @dg.asset_check(asset=key(project, "embeddings"))
    def read_whole(workspace: Workspace) -> dg.AssetCheckResult:
        """Encoders read all of most samples; of long texts they read only the beginning, unless more windows are named."""
        wrong, figures, items = [], {}, _some_items(workspace.store(project), modality)
        for name in settings.encoders(modality.default_encoder):
            unread = modality.encoder(name).unread(items)
            share, cut = float(unread.mean()) if items else 0.0, int((unread > 0).sum())
            figures[f"share that {name} does not read"] = round(share, 4)
            if share > MAY_BE_UNREAD:
                model, _, windows = name.partition("*")
                more = min(99, 2 * int(windows)) if windows.isdigit() and int(windows) >= 8 else 8
                wrong.append(
                    f"{name} does not read {share:.0%} of the text: {cut} of {len(items)} texts are longer than it looks; "
                    f"name the encoder {model}*{more} to read {more} windows of each"
                )
        return dg.AssetCheckResult(
            passed=not wrong, severity=dg.AssetCheckSeverity.WARN, description="; ".join(wrong) or "they do", metadata=figures
        )

    @dg.asset_check(asset=key(project, "embeddings"))
    def knows_the_language(workspace: Workspace) -> dg.AssetCheckResult:
        """Encoders know the letters and words of most texts: their word pieces are neither unknown nor single letters."""
        wrong, figures, items = [], {}, _some_items(workspace.store(project), modality)
        for name in settings.encoders(modality.default_encoder):
            unknown = modality.encoder(name).unknown(items)
            if unknown is None:
                continue
            # weighted by length: long texts tell more about the language than short ones
            sizes = np.array([max(modality.length(item), 1.0) for item in items])
            share = float(unknown @ sizes / sizes.sum()) if items else 0.0
            figures[f"share of letters that {name} does not know"] = round(share, 4)
            if share > MAY_BE_UNKNOWN:
                worst = items[int(unknown.argmax())]
                wrong.append(
                    f"{name} does not know {share:.0%} of the letters, such as those of {worst[:SHOWN]!r}: name an encoder of "
                    "this language, or a multilingual one, under features.encoder"
                )
        return dg.AssetCheckResult(
            passed=not wrong, severity=dg.AssetCheckSeverity.WARN, description="; ".join(wrong) or "they do", metadata=figures
        )

    @dg.asset_check(asset=key(project, "feature_set"), blocking=True)
    def splits_disjoint(workspace: Workspace) -> dg.AssetCheckResult:
        """No sample is in two splits, and every class has at least two training samples."""
        wrong = []
        for chosen in sets.current(workspace.store(project)):
            ids = chosen.rows["id"].to_pylist()
            few = [name for name, count in chosen.counts("train", task).items() if count < 2]
            wrong += [f"{len(ids) - len(set(ids))} samples stand twice"] * (len(ids) != len(set(ids)))
            wrong += [f"fewer than 2 training samples of {', '.join(few)}: label more"] * bool(few)
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(dict.fromkeys(wrong)))

    @dg.asset_check(asset=key(project, "feature_set"))
    def near_duplicates_apart(workspace: Workspace) -> dg.AssetCheckResult:
        """No test sample has a near duplicate in the training split, which would make models look better than they are.

        That is a text that is equal but for case, space and punctuation, or an embedding that is nearly equal.
        """
        store, wrong = workspace.store(project), []
        figures: dict[str, dict[str, Any]] = {}
        for chosen in sets.current(store):
            encoder = modality.encoder(chosen.encoder).whole()
            rows = {split: [r for r in chosen.rows.to_pylist() if r["split"] == split] for split in ("train", "test")}
            ids = {split: [row["id"] for row in found] for split, found in rows.items()}
            train, test = (near_duplicates.contents(store, modality, encoder, ids[split]) for split in ("train", "test"))
            close = near_duplicates.how_close(train.vectors, [row["target"] for row in rows["train"]])
            twins = near_duplicates.across(test, train, close)
            share = len(twins) / max(len(test), 1)
            figures[chosen.name or "feature set"] = {"near duplicates": len(twins), "share": round(share, 4), "cosine": close}
            if twins:
                first = min(twins, key=lambda i: ids["test"][i])
                pair = [ids["test"][first], ids["train"][twins[first]]]
                figures[chosen.name or "feature set"]["example"] = _shown(store, modality, pair)
                wrong.append(
                    f"near duplicates of {len(twins)} test samples stand in the training split ({share:.1%}), such as of "
                    f"{pair[0]} the sample {pair[1]}: give what belongs together one `group`"
                )
        return dg.AssetCheckResult(
            passed=not wrong,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(dict.fromkeys(wrong)) or "no test sample has one",
            metadata=figures,
        )

    return [every_sample_embedded, read_whole, knows_the_language, splits_disjoint, near_duplicates_apart]


def _shown(store: ProjectStore, modality: Modality, ids: Sequence[str]) -> list[str]:
    """The beginning of each text sample; the origin of samples of other modalities."""
    column = "text" if modality.column == "text" else "origin"
    return [str(value)[:200] for value in store.table("samples").take(ids, [column])[column].to_pylist()]


def _some_items(store: ProjectStore, modality: Modality) -> list[Any]:
    """The items of up to `LOOKED_AT` samples; ids are hashes, so the first by id are a random choice."""
    ids = sorted(store.table("samples").ids())[:LOOKED_AT]
    return list(store.table("samples").take(ids, [modality.column])[modality.column].to_pylist())
