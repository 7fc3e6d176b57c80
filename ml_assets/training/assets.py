"""The Dagster assets of the training stage: `study`, `model`, `evaluation` and `cross_predictions`."""

from typing import Any

import dagster as dg

from ml_assets.charts import markdown
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, key, log_to, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.tasks import ClassificationTask, Task
from ml_assets.training import cross, studies
from ml_assets.training.candidates import chosen_model, required_feature_sets
from ml_assets.training.candidates import save as save_candidates
from ml_assets.training.comparison import compared, evaluate_models
from ml_assets.training.figures import mistakes
from ml_assets.training.registration import train_models
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker


def training_assets(project: str, settings: TrainingSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The Dagster assets of the training stage."""
    gate: dict[str, Any] = {"minimum": {}, "may_drop": 0.0}
    tuned = settings.model_copy(update={**gate, "serve": None})
    trained = settings.model_copy(update=gate)

    @stage_asset(project, "training", "study", deps=["feature_set"], kinds=["pytorch", "optuna", "mlflow"], settings=[tuned])
    def study(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Trials of hyper-parameters on the training samples, each a nested MLflow run; the best one makes the model.

        One study for each feature set and architecture. Compared on validation samples, which come out of the training
        samples. Never sees the test split.
        """
        store, tracker, log = workspace.store(project), Tracker(project), log_to(context)
        done = studies.run_studies(store, modality, task, settings, tracker, workspace.home / "optuna" / project, log, now)
        studies.save(store, done)
        return result(
            "-".join(each.study.id for each in done),
            best_score=max(each.study.score for each in done),
            trials=dg.MetadataValue.md(studies.trials_table(done, task)),
            mlflow=dg.MetadataValue.url(tracker.run_url(done[0].study.run_id)),
        )

    @stage_asset(project, "training", "model", deps=["study", "feature_set"], kinds=["pytorch", "mlflow"], settings=[trained])
    def model(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The best architecture of each study, trained on all labelled training samples and registered in MLflow.

        The one with the highest validation score, or the one that the YAML names, may serve. Weights are safetensors beside
        a JSON description. Used by evaluation and deployment.
        """
        store, tracker, log = workspace.store(project), Tracker(project), log_to(context)
        made = train_models(store, modality, task, settings, tracker, workspace.home / "optuna" / project, log, now)
        winner = save_candidates(store, [(each.candidate, each.score, each.row["id"]) for each in made], settings.serve, now())
        row = chosen_model(store) or {}
        return result(
            "-".join([*(f"{each.row['id']}-{each.row['weights'][:8]}" for each in made), winner]),
            version=row["id"],
            candidate=winner,
            samples=sum(each.samples for each in made if each.candidate.name == winner),
            dataset=row["dataset"],
            mlflow=dg.MetadataValue.url(tracker.run_url(row["run_id"])),
        )

    @stage_asset(
        project, "training", "evaluation", deps=["model", "feature_set"], kinds=["pytorch", "mlflow"], settings=[settings]
    )
    def evaluation(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Each model on the test split, with intervals, beside the others and beside the model that serves.

        Says whether the chosen one may be deployed; the check `good_enough` blocks deployment otherwise.
        """
        store, tracker = workspace.store(project), Tracker(project)
        done = evaluate_models(store, modality, task, settings, tracker, now)
        (_, chosen, first), shown = done[0], compared(done, task)
        chart = {"comparison chart": dg.MetadataValue.md(markdown(shown.picture, "all models"))} if shown.picture else {}
        return result(
            f"{'-'.join(dict.fromkeys(each.evaluation.model for each in done))}-{chosen.id}-{first.passed}-{first.figures}",
            **first.metadata(),
            comparison=dg.MetadataValue.md(shown.table),
            **chart,
            mistakes=dg.MetadataValue.md(markdown(mistakes(first.targets, first.predicted, chosen.classes, task), "mistakes")),
            mlflow=dg.MetadataValue.url(tracker.run_url((chosen_model(store) or {})["run_id"])),
        )

    @stage_asset(
        project,
        "training",
        "cross_predictions",
        deps=["feature_set"],
        kinds=["scikitlearn", "lance"],
        version=f"1-{settings.seed}",
    )
    def cross_predictions(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per labelled training sample: the prediction by models trained on neither the sample nor its group.

        Made from `feature_set` by cross-validation on stored embeddings; the report shows where they are sure of another
        label, which may be wrong. Nothing for tasks that need a network of their own, such as spans and boxes.
        """
        store = workspace.store(project)
        chosen, table = required_feature_sets(store), store.table("cross_predictions")
        if not isinstance(task, ClassificationTask):
            return result(table.digest(), predicted=0)
        done = cross.cross_validate(store, chosen, modality, task, settings.seed)
        moved = cross.save(store, done, now())
        return result(
            table.digest(["feature_set", "target", "label", "confidence"]),
            predicted=len(done.ids),
            changed=moved,
            agreement=round(done.agreement, 4),
            suspects=len(cross.suspects(store)),
            feature_set=done.feature_set,
        )

    return [study, model, evaluation, cross_predictions]


def training_jobs(project: str) -> list[Any]:
    """The Dagster job `train_<project>`: from the newest dataset to an evaluated model."""
    nouns = ["feature_set", "study", "model", "evaluation", "cross_predictions"]
    job = dg.define_asset_job(
        f"train_{project}",
        selection=[key(project, noun) for noun in nouns],
        tags={"ml_assets/project": project},
        description="Trains a model on the newest dataset and evaluates it. Deploys nothing.",
    )
    return [job]
