"""What must hold of the samples before anything is made from them."""

import dagster as dg

from ml_assets.collection.collect import new_files
from ml_assets.collection.expectations import failures
from ml_assets.collection.settings import CollectionSettings
from ml_assets.modalities import Undecodable
from ml_assets.resources import Workspace, key
from ml_assets.tasks import Task


def collection_checks(project: str, settings: CollectionSettings, task: Task) -> list[dg.AssetChecksDefinition]:
    """The checks of the collection stage; both are blocking."""

    @dg.asset_check(asset=key(project, "samples"), blocking=True)
    def clean(workspace: Workspace) -> dg.AssetCheckResult:
        """Great Expectations: not empty, ids unique, every sample decodable, lengths within bounds, a known split."""
        frame = workspace.store(project).table("samples").read(["id", "text", "split"]).to_pandas()
        frame["length"] = [settings.modality.length(text) for text in frame["text"]]
        frame["decodable"] = [_decodable(settings, text) for text in frame["text"]]
        bounds = {"min_value": settings.min_length, "max_value": settings.max_length}
        wrong = failures(
            frame.drop(columns="text"),
            [
                ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
                ("ExpectColumnValuesToNotBeNull", {"column": "id"}),
                ("ExpectColumnValuesToBeUnique", {"column": "id"}),
                ("ExpectColumnValuesToBeInSet", {"column": "decodable", "value_set": [True]}),
                ("ExpectColumnValuesToBeBetween", {"column": "length", **bounds}),
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
    def sources_readable(workspace: Workspace) -> dg.AssetCheckResult:
        """Every source can be listed, and every file that it names was read."""
        found, problems = new_files(workspace.store(project), settings, task)
        problems += [f"source {source.name!r}: {file.uri} could not be read, see the log of the run" for source, file in found]
        said = "; ".join(problems) or "all sources were read"
        return dg.AssetCheckResult(passed=not problems, severity=dg.AssetCheckSeverity.WARN, description=said)

    return [clean, nothing_lost, sources_readable]


def _decodable(settings: CollectionSettings, text: str) -> bool:
    try:
        return bool(settings.modality.decode(text) == text)
    except Undecodable:
        return False
