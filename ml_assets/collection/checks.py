"""Dagster asset checks on the samples, which run before anything is made from them."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import dagster as dg

from ml_assets.collection.accept import LABEL
from ml_assets.collection.collect import new_files, unreadable
from ml_assets.collection.expectations import failures
from ml_assets.collection.labels import contradictions
from ml_assets.collection.settings import CollectionSettings
from ml_assets.modalities import Modality, Undecodable
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.state.clock import now
from ml_assets.store import Table
from ml_assets.tasks import Task

T = TypeVar("T")
BATCH = 256
"""Number of samples that are in memory at once."""


def collection_checks(project: str, settings: CollectionSettings, task: Task) -> list[dg.AssetChecksDefinition]:
    """The Dagster asset checks of the collection stage; some of them block the stages that follow."""

    @dg.asset_check(asset=key(project, "samples"), blocking=True)
    def clean(workspace: Workspace) -> dg.AssetCheckResult:
        """Great Expectations: at least one sample, unique ids, every sample intact, a known split."""
        table = workspace.store(project).table("samples")
        frame = table.read(["id", "split"]).to_pandas()
        intact = _of_each(table, settings.modality, lambda key, item: _intact(settings.modality, key, item))
        frame["intact"] = [intact[key] for key in frame["id"]]
        wrong = failures(
            frame,
            [
                ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
                ("ExpectColumnValuesToNotBeNull", {"column": "id"}),
                ("ExpectColumnValuesToBeUnique", {"column": "id"}),
                ("ExpectColumnValuesToBeInSet", {"column": "intact", "value_set": [True]}),
                ("ExpectColumnValuesToBeInSet", {"column": "split", "value_set": ["train", "test"]}),
            ],
        )
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(wrong) or f"{len(frame)} samples are clean")

    @dg.asset_check(asset=key(project, "samples"), blocking=True)
    def nothing_lost(workspace: Workspace) -> dg.AssetCheckResult:
        """For every file that was read: received = accepted + duplicates + rejected."""
        frame = workspace.store(project).table("receipts").read().to_pandas()
        frame["lost"] = frame["received"] - frame["accepted"] - frame["duplicates"] - frame["rejected"]
        wrong = failures(frame[["uri", "lost"]], [("ExpectColumnValuesToBeInSet", {"column": "lost", "value_set": [0]})])
        sums = {name: int(frame[name].sum()) for name in ("received", "accepted", "duplicates", "rejected")}
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(wrong), metadata=sums)

    @dg.asset_check(asset=key(project, "samples"))
    def within_bounds(workspace: Workspace) -> dg.AssetCheckResult:
        """Every sample is as long as `min_length` and `max_length` demand; samples accepted under wider limits are kept."""
        (shortest, longest), modality = settings.bounds, settings.modality
        lengths = _of_each(workspace.store(project).table("samples"), modality, lambda _, item: modality.length(item))
        outside = sum(not shortest <= length <= longest for length in lengths.values())
        said = (
            f"{outside} samples are shorter than min_length {shortest:g} or longer than max_length "
            f"{longest:g}: they came in under wider bounds and stay, what comes now is set aside"
        )
        severity = dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=not outside, severity=severity, description=said if outside else "all are")

    @dg.asset_check(asset=key(project, "samples"))
    def sources_readable(workspace: Workspace) -> dg.AssetCheckResult:
        """Every source can be listed, and every file that it names was read."""
        store = workspace.store(project)
        found, problems = new_files(store, settings, task, now())
        problems += unreadable(store, settings)
        problems += [f"source {source.name!r}: {file.uri} waits for the next run" for source, file in found]
        said = "; ".join(problems) or "all sources were read"
        return dg.AssetCheckResult(passed=not problems, severity=dg.AssetCheckSeverity.WARN, description=said)

    @dg.asset_check(asset=key(project, "samples"))
    def labels_agree(workspace: Workspace) -> dg.AssetCheckResult:
        """No sample has contradicting labels in the sources; one that has them is in conflict and gets no label."""
        found = contradictions(workspace.store(project).table("given_labels").read(), task)
        said = f"{len(found)} samples have contradicting labels: {found[0]}" if found else "no sample has contradicting labels"
        severity = dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=not found, severity=severity, description=said, metadata={"samples": len(found)})

    @dg.asset_check(asset=key(project, "samples"), blocking=True)
    def labels_usable(workspace: Workspace) -> dg.AssetCheckResult:
        """Few of the labels that came with the samples were refused; if all were, the assets that follow are blocked."""
        store = workspace.store(project)
        refused = store.table("rejects").read(["reason"], f"ends_with(origin, '{LABEL}')")["reason"].to_pylist()
        taken = store.table("given_labels").count()
        share = len(refused) / (len(refused) + taken) if refused else 0.0
        said = f"{taken} labels came with the samples" if taken else "no labels came with the samples"
        if refused:
            [(reason, often)] = Counter(refused).most_common(1)
            said = f"{len(refused)} of {len(refused) + taken} labels were refused, {often} of them as {reason}"
            said += f": `ml-assets rejects {project}` lists them"
        return dg.AssetCheckResult(
            passed=share <= settings.refused_labels,
            severity=dg.AssetCheckSeverity.WARN if taken else dg.AssetCheckSeverity.ERROR,
            description=said,
            metadata={"refused": len(refused), "taken": taken, "share": share},
        )

    return [clean, nothing_lost, within_bounds, sources_readable, labels_agree, labels_usable]


def _of_each(table: Table, modality: Modality, found: Callable[[str, Any], T]) -> dict[str, T]:
    """The result of `found` for each sample, by sample id; samples are read in batches, because they may be large."""
    return {
        key: found(key, item)
        for batch in table.batches(["id", modality.column], size=BATCH)
        for key, item in zip(batch["id"].to_pylist(), batch[modality.column].to_pylist(), strict=True)
    }


def _intact(modality: Modality, key: str, item: Any) -> bool:
    """Whether a stored sample still is what was accepted: its hash is its id, and a text decodes to itself."""
    try:
        return (
            item is not None
            and modality.sample_id(item) == key
            and (modality.column == "media" or modality.decode(item) == item)
        )
    except Undecodable:
        return False
