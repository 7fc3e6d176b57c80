"""What a model must reach before it may serve."""

import json

import dagster as dg

from ml_assets.resources import Workspace, key
from ml_assets.training.model import newest
from ml_assets.training.settings import TrainingSettings


def training_checks(project: str, settings: TrainingSettings) -> list[dg.AssetChecksDefinition]:
    """The checks of the training stage."""

    @dg.asset_check(asset=key(project, "study"), blocking=True)
    def best_trial_wins(workspace: Workspace) -> dg.AssetCheckResult:
        """The newest study has all its trials, and its best one has the highest score."""
        found = workspace.store(project).table("studies").read().to_pylist()
        if not found:
            return dg.AssetCheckResult(passed=False, description="there is no study")
        study = max(found, key=lambda row: row["at"])
        scores = [trial["score"] for trial in json.loads(study["trials"])]
        passed = len(scores) >= settings.trials and study["score"] == max(scores)
        return dg.AssetCheckResult(passed=passed, metadata={"trials": len(scores), "best": study["score"]})

    @dg.asset_check(asset=key(project, "evaluation"), blocking=True)
    def good_enough(workspace: Workspace) -> dg.AssetCheckResult:
        """The newest model reaches the minimum of the YAML and is not worse than the model that serves."""
        store = workspace.store(project)
        made = newest(store)
        found = store.table("evaluations").take([made["id"]]).to_pylist() if made else []
        if not found:
            return dg.AssetCheckResult(passed=False, description="the newest model has not been evaluated")
        return dg.AssetCheckResult(
            passed=found[0]["passed"],
            description=found[0]["reason"] or f"{found[0]['model']} may serve",
            metadata={**json.loads(found[0]["metrics"]), "minimum": settings.minimum},
        )

    @dg.asset_check(asset=key(project, "model"), blocking=True)
    def no_test_sample_seen(workspace: Workspace) -> dg.AssetCheckResult:
        """No sample of the test split stands in the training split of the model's feature set."""
        store = workspace.store(project)
        made = newest(store)
        if made is None:
            return dg.AssetCheckResult(passed=False, description="there is no model")
        table = store.table("feature_set")
        train, test = (
            table.read(["id"], f"split = '{s}'", tag=made["feature_set"])["id"].to_pylist() for s in ("train", "test")
        )
        fixed = set(store.table("samples").read(["id"], "split = 'test'")["id"].to_pylist())
        leaked = set(train) & (set(test) | fixed)
        return dg.AssetCheckResult(passed=not leaked, metadata={"leaked": len(leaked), "train": len(train), "test": len(test)})

    return [best_trial_wins, good_enough, no_test_sample_seen]
