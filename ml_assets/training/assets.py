"""`study`, `model` and `evaluation`."""

import json
from typing import Any

import dagster as dg

from ml_assets.features import feature_set as sets
from ml_assets.features.feature_set import FeatureSet
from ml_assets.modalities import Modality
from ml_assets.progress import report
from ml_assets.records import now, rows
from ml_assets.resources import Workspace, key, result, stage_asset
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.training import evaluation as evaluations
from ml_assets.training.architectures import ARCHITECTURES
from ml_assets.training.code import code_version
from ml_assets.training.data import split_data
from ml_assets.training.figures import confusion_matrix
from ml_assets.training.model import newest, train_model
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import describe, study_id, tune
from ml_assets.visualization.figures import markdown


def training_assets(project: str, settings: TrainingSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The assets of the training stage."""
    tuned = settings.model_copy(update={"minimum": {}, "may_drop": 0.0})

    @stage_asset(project, "training", "study", deps=["feature_set"], kinds=["pytorch", "optuna", "mlflow"], settings=[tuned])
    def study(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Trials of hyper-parameters on the training samples, each a nested MLflow run; the best one makes the model.

        Compared on validation samples, which come out of the training samples. Never sees the test split.
        """
        store, tracker = workspace.store(project), Tracker(project)
        chosen = _newest_set(store)
        encoder = modality.encoder(chosen.encoder)
        data = split_data(store, chosen, encoder, "train")

        def say(trial: int, trials: int, score: float) -> None:
            report("trials", trial, trials)
            context.log.info(f"trial {trial} of {trials}: validation {task.headline()} {score:.4f}")

        tags = {"dataset": chosen.dataset, "feature_set": chosen.id, "code": code_version()}
        name = study_id(chosen.id, settings)
        journal = workspace.home / "optuna" / f"{project}.log"
        done = tune(name, data.examples, chosen.classes, task, settings, tracker, tags, journal, say)
        row = {
            "id": done.id,
            "feature_set": chosen.id,
            "architecture": done.best.type,
            "best": json.dumps(describe(done.best)),
            "score": done.score,
            "trials": json.dumps(done.trials),
            "run_id": done.run_id,
            "at": now(),
        }
        store.table("studies").upsert(rows("studies", [row]), ignore=["at", "run_id"])
        table = [f"| {t['number']} | {t['score']:.4f} | {_options(t)} |" for t in done.trials]
        return result(
            done.id,
            best_score=done.score,
            trials=dg.MetadataValue.md("\n".join(["| trial | score | hyper-parameters |", "|---|---|---|", *table])),
            mlflow=dg.MetadataValue.url(tracker.run_url(done.run_id)),
        )

    @stage_asset(project, "training", "model", deps=["study", "feature_set"], kinds=["pytorch", "mlflow"])
    def model(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The best architecture of the study, trained on all labelled training samples and registered in MLflow.

        Weights are safetensors beside a JSON description. Used by evaluation and deployment.
        """
        store, tracker = workspace.store(project), Tracker(project)
        chosen = _newest_set(store)
        encoder = modality.encoder(chosen.encoder)
        name = study_id(chosen.id, settings)
        found = store.table("studies").take([name]).to_pylist()
        if not found:
            raise dg.Failure(f"there is no study of {chosen.id} yet: run the asset study")
        best = ARCHITECTURES.parse(json.loads(found[0]["best"]))
        every = max(1, best.epochs // 10)

        def say(epoch: int, values: object) -> None:
            report("epochs", epoch + 1, best.epochs)
            if (epoch + 1) % every == 0:
                context.log.info(f"epoch {epoch + 1} of {best.epochs}: {values}")

        data = split_data(store, chosen, encoder, "train")
        row = train_model(
            store, chosen, data, best, modality, encoder, task, settings.seed, name, code_version(), tracker, now(), say
        )
        return result(
            f"{row['id']}-{row['weights'][:8]}",
            version=row["id"],
            samples=len(data.ids),
            dataset=chosen.dataset,
            mlflow=dg.MetadataValue.url(tracker.run_url(row["run_id"])),
        )

    @stage_asset(
        project, "training", "evaluation", deps=["model", "feature_set"], kinds=["pytorch", "mlflow"], settings=[settings]
    )
    def evaluation(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The newest model on the test split, with intervals, beside the model that serves.

        Says whether the model may be deployed; the check `good_enough` blocks deployment otherwise.
        """
        store, tracker = workspace.store(project), Tracker(project)
        chosen, made = _newest_set(store), newest(store)
        if made is None:
            raise dg.Failure("there is no model yet: run the asset model")
        test = split_data(store, chosen, modality.encoder(chosen.encoder), "test")
        done = evaluations.evaluate(store, made["id"], chosen, test, task, settings, tracker)
        evaluations.save(store, done, chosen.dataset, now())
        picture = confusion_matrix(done.targets, done.predicted, list(chosen.classes))
        run = tracker.existing(made["run_id"])
        run.metrics({f"test_{k}": v for name, m in done.metrics.items()
                     for k, v in ((name, m.value), (f"{name}_low", m.low), (f"{name}_high", m.high))})  # fmt: skip
        run.file("test/confusion_matrix.png", picture)
        metrics = {name: round(metric.value, 4) for name, metric in done.metrics.items()}
        return result(
            f"{made['id']}-{chosen.id}-{done.passed}-{metrics}",
            **metrics,
            intervals=evaluations.flat(done.metrics),
            passed=done.passed,
            reasons="; ".join(done.reasons) or "none",
            against=done.against or "nothing serves yet",
            test_samples=done.samples,
            confusion=dg.MetadataValue.md(markdown(picture, "confusion matrix")),
            mlflow=dg.MetadataValue.url(tracker.run_url(made["run_id"])),
        )

    return [study, model, evaluation]


def training_jobs(project: str) -> list[Any]:
    """The job `train_<project>`: one click from the newest dataset to an evaluated model."""
    nouns = ["feature_set", "study", "model", "evaluation"]
    job = dg.define_asset_job(
        f"train_{project}",
        selection=[key(project, noun) for noun in nouns],
        tags={"ml_assets/project": project},
        description="Trains a model on the newest dataset and evaluates it. Deploys nothing.",
    )
    return [job]


def _newest_set(store: ProjectStore) -> FeatureSet:
    tags = store.table("feature_set").tags()
    if not tags:
        raise dg.Failure("there is no feature set yet: run the asset feature_set")
    return sets.load(store, tags[-1])


def _options(trial: dict[str, object]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.items()
                     if k not in ("number", "score", "run_id", "type"))  # fmt: skip
