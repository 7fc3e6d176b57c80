"""Dagster asset checks on studies, models and evaluations, which a model must pass before it may serve."""

import json

import dagster as dg

from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.training.candidates import candidates, chosen_model
from ml_assets.training.cross import suspects
from ml_assets.training.reach import LOOKED_AT, reach
from ml_assets.training.settings import TrainingSettings

ENOUGH = 100
"""Number of test samples below which a check warns: even if all of 100 are right, the true share may be 0.96."""
MAY_BE_LOST = 0.01
"""Maximum share of labelled spans that a network can never predict, without a warning."""


def training_checks(project: str, settings: TrainingSettings, modality: Modality) -> list[dg.AssetChecksDefinition]:
    """The Dagster asset checks of the training stage; `spans_reachable` is included if an architecture predicts spans."""

    @dg.asset_check(asset=key(project, "study"), blocking=True)
    def best_trial_wins(workspace: Workspace) -> dg.AssetCheckResult:
        """Each study has all its trials, unless its time was over, and its best trial is the one with the highest score."""
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

    @dg.asset_check(asset=key(project, "study"))
    def trials_finished(workspace: Workspace) -> dg.AssetCheckResult:
        """In each study at least one trial ran to its end, so that its score is that of a fully trained network."""
        store, cut_off = workspace.store(project), []
        for candidate in candidates(store, settings):
            for row in store.table("studies").take([candidate.study], ["trials"]).to_pylist():
                if all(trial.get("ended", "finished") != "finished" for trial in json.loads(row["trials"])):
                    cut_off.append(candidate.name)
        said = f"{', '.join(cut_off)}: no trial came to its end within `training.minutes`, its score says little: raise that"
        return dg.AssetCheckResult(
            passed=not cut_off,
            severity=dg.AssetCheckSeverity.WARN,
            description=said if cut_off else "all studies have trials that came to their end",
        )

    @dg.asset_check(asset=key(project, "evaluation"), blocking=True)
    def good_enough(workspace: Workspace) -> dg.AssetCheckResult:
        """The chosen model reaches the minimum of the YAML and is not worse than the model that serves."""
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
        """No sample of the test split is in the training split of a model's feature set."""
        store, leaked, figures = workspace.store(project), 0, {}
        fixed = store.table("samples").ids("split = 'test'")
        for row in store.table("candidates").read().to_pylist():
            chosen = store.table("feature_set").read(["id", "split"], tag=row["feature_set"]).to_pylist()
            train, test = ({r["id"] for r in chosen if r["split"] == split} for split in ("train", "test"))
            leaked += len(train & (test | fixed))
            figures[row["id"]] = {"model": row["model"], "train": len(train), "test": len(test)}
        return dg.AssetCheckResult(passed=bool(figures) and not leaked, metadata={"leaked": leaked, "models": figures})

    @dg.asset_check(asset=key(project, "evaluation"))
    def enough_tested(workspace: Workspace) -> dg.AssetCheckResult:
        """There are enough test samples for meaningful metrics."""
        store = workspace.store(project)
        made = chosen_model(store)
        found = store.table("evaluations").take([made["id"]], ["samples"])["samples"].to_pylist() if made else []
        tested = found[0] if found else 0
        said = f"{tested} test samples" if tested >= ENOUGH else (
            f"too few: {tested} of {ENOUGH} test samples; label more of them, or raise `collection.test_share`"
        )  # fmt: skip
        return dg.AssetCheckResult(
            passed=tested >= ENOUGH,
            severity=dg.AssetCheckSeverity.WARN,
            description=said,
            metadata={"samples": tested},
        )

    @dg.asset_check(asset=key(project, "feature_set"))
    def spans_reachable(workspace: Workspace) -> dg.AssetCheckResult:
        """Networks that predict spans can predict the labelled ones: these match word boundaries, in text that is read."""
        store, wrong, figures = workspace.store(project), [], {}
        for candidate in candidates(store, settings):
            if not candidate.architecture.marks_spans:
                continue
            found = reach(store, candidate, modality)
            lost = found.between + found.unread
            figures[candidate.name] = {
                "spans": found.spans, "within words": found.between, "behind what is read": found.unread,
                "share": round(found.share, 4), "example": found.example,
            }  # fmt: skip
            if found.share > MAY_BE_LOST:
                wrong.append(
                    f"{candidate.name} can never find {lost} of {found.spans} given spans ({found.share:.0%}): "
                    f"{found.between} begin or end within a word, {found.unread} lie behind what it reads, such as "
                    f"{found.example}; correct the labels, split long texts, or train char_tagger"
                )
        return dg.AssetCheckResult(
            passed=not wrong,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(wrong) or f"they can (of {LOOKED_AT} samples at most)",
            metadata=figures,
        )

    @dg.asset_check(asset=key(project, "cross_predictions"))
    def few_suspects(workspace: Workspace) -> dg.AssetCheckResult:
        """Cross-validation is sure of another label for at most a tenth of the labelled training samples."""
        store = workspace.store(project)
        found, total = suspects(store), store.table("cross_predictions").count()
        return dg.AssetCheckResult(
            passed=len(found) <= total / 10,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(found)} of {total} labels may be wrong: the report shows them" if found else None,
            metadata={"suspects": len(found), "samples": total, "first": found[:20]},
        )

    checks = [best_trial_wins, trials_finished, good_enough, no_test_sample_seen, enough_tested, few_suspects]
    return [*checks, spans_reachable] if any(each.marks_spans for each in settings.architectures) else checks
