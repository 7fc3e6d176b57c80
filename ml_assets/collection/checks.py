"""What must hold of the samples before anything is made from them."""

import dagster as dg

from ml_assets.collection.collect import new_files, unreadable
from ml_assets.collection.expectations import failures
from ml_assets.collection.settings import CollectionSettings
from ml_assets.modalities import Undecodable
from ml_assets.records import now
from ml_assets.resources import Workspace, key
from ml_assets.tasks import Task


def collection_checks(project: str, settings: CollectionSettings, task: Task) -> list[dg.AssetChecksDefinition]:
    """The checks of the collection stage; the first two block what follows."""

    @dg.asset_check(asset=key(project, "samples"), blocking=True)
    def clean(workspace: Workspace) -> dg.AssetCheckResult:
        """Great Expectations: not empty, ids unique, every sample decodable, a known split."""
        frame = workspace.store(project).table("samples").read(["id", "text", "split"]).to_pandas()
        frame["decodable"] = [_decodable(settings, text) for text in frame["text"]]
        wrong = failures(
            frame.drop(columns="text"),
            [
                ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
                ("ExpectColumnValuesToNotBeNull", {"column": "id"}),
                ("ExpectColumnValuesToBeUnique", {"column": "id"}),
                ("ExpectColumnValuesToBeInSet", {"column": "decodable", "value_set": [True]}),
                ("ExpectColumnValuesToBeInSet", {"column": "split", "value_set": ["train", "test"]}),
            ],
        )
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(wrong) or f"{len(frame)} samples are clean")

    @dg.asset_check(asset=key(project, "samples"), blocking=True)
    def nothing_lost(workspace: Workspace) -> dg.AssetCheckResult:
        """In every file that was read: received = accepted + duplicates + rejected."""
        frame = workspace.store(project).table("receipts").read().to_pandas()
        frame["lost"] = frame["received"] - frame["accepted"] - frame["duplicates"] - frame["rejected"]
        wrong = failures(frame[["uri", "lost"]], [("ExpectColumnValuesToBeInSet", {"column": "lost", "value_set": [0]})])
        sums = {name: int(frame[name].sum()) for name in ("received", "accepted", "duplicates", "rejected")}
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(wrong), metadata=sums)

    @dg.asset_check(asset=key(project, "samples"))
    def within_bounds(workspace: Workspace) -> dg.AssetCheckResult:
        """Samples are as long as `min_length` and `max_length` ask; those that came in under wider bounds stay."""
        texts = workspace.store(project).table("samples").read(["text"])["text"].to_pylist()
        outside = sum(not settings.min_length <= settings.modality.length(text) <= settings.max_length for text in texts)
        said = (
            f"{outside} samples are shorter than min_length {settings.min_length:g} or longer than max_length "
            f"{settings.max_length:g}: they came in under wider bounds and stay, what comes now is set aside"
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

    return [clean, nothing_lost, within_bounds, sources_readable]


def _decodable(settings: CollectionSettings, text: str) -> bool:
    try:
        return bool(settings.modality.decode(text) == text)
    except Undecodable:
        return False
