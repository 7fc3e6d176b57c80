"""What a model must reach before it may serve."""

import json

import dagster as dg

from ml_assets.resources import Workspace, key
from ml_assets.training.candidates import candidates, chosen_model
from ml_assets.training.cross import suspects
from ml_assets.training.settings import TrainingSettings


def training_checks(project: str, settings: TrainingSettings) -> list[dg.AssetChecksDefinition]:
    """The checks of the training stage."""

    @dg.asset_check(asset=key(project, "study"), blocking=True)
    def best_trial_wins(workspace: Workspace) -> dg.AssetCheckResult:
        """Each study has all its trials, unless its time was over, and its best one has the highest score."""
        store, wrong, figures = workspace.store(project), [], {}
        for candidate in candidates(store, settings):
            found = store.table("studies").take([candidate.study]).to_pylist()
            if not found:
                wrong.append(f"{candidate.name} has no study")
                continue
            trials = json.loads(found[0]["trials"])
            scores = [trial["score"] for trial in trials if trial["score"] is not None]
            if found[0]["score"] != max(scores):
                wrong.append(f"the best trial of {candidate.name} is not the one with the highest score")
            if len(trials) < settings.trials and settings.minutes is None:
                wrong.append(f"{candidate.name} has {len(trials)} of {settings.trials} trials")
            figures[candidate.name] = {"trials": len(trials), "finished": len(scores), "best": found[0]["score"]}
        passed = bool(figures) and not wrong
        return dg.AssetCheckResult(passed=passed, description="; ".join(wrong) or None, metadata={"studies": figures})

    @dg.asset_check(asset=key(project, "evaluation"), blocking=True)
    def good_enough(workspace: Workspace) -> dg.AssetCheckResult:
        """The model that was chosen reaches the minimum of the YAML and is not worse than the model that serves."""
        store = workspace.store(project)
        made = chosen_model(store)
        found = store.table("evaluations").take([made["id"]]).to_pylist() if made else []
        if not found:
            return dg.AssetCheckResult(passed=False, description="the chosen model has not been evaluated")
        return dg.AssetCheckResult(
            passed=found[0]["passed"],
            description=found[0]["reason"] or f"{found[0]['model']} may serve",
            metadata={**json.loads(found[0]["metrics"]), "minimum": settings.minimum},
        )

    @dg.asset_check(asset=key(project, "model"), blocking=True)
    def no_test_sample_seen(workspace: Workspace) -> dg.AssetCheckResult:
        """No sample of the test split stands in the training split of a model's feature set."""
        store, leaked, figures = workspace.store(project), 0, {}
        fixed = store.table("samples").ids("split = 'test'")
        for row in store.table("candidates").read().to_pylist():
            chosen = store.table("feature_set").read(["id", "split"], tag=row["feature_set"]).to_pylist()
            train, test = ({r["id"] for r in chosen if r["split"] == split} for split in ("train", "test"))
            leaked += len(train & (test | fixed))
            figures[row["id"]] = {"model": row["model"], "train": len(train), "test": len(test)}
        return dg.AssetCheckResult(passed=bool(figures) and not leaked, metadata={"leaked": leaked, "models": figures})

    @dg.asset_check(asset=key(project, "cross_predictions"))
    def few_suspects(workspace: Workspace) -> dg.AssetCheckResult:
        """Cross-validation is sure of another label for a tenth of the labelled training samples at most."""
        store = workspace.store(project)
        found, total = suspects(store), store.table("cross_predictions").count()
        return dg.AssetCheckResult(
            passed=len(found) <= total / 10,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(found)} of {total} labels may be wrong: the report shows them" if found else None,
            metadata={"suspects": len(found), "samples": total, "first": found[:20]},
        )

    return [best_trial_wins, good_enough, no_test_sample_seen, few_suspects]
