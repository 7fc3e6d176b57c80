"""`study`, `model`, `evaluation` and `cross_predictions`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from ml_assets.features import feature_set as sets
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, key, result, stage_asset, told
from ml_assets.state.clock import now
from ml_assets.state.progress import report
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import ClassificationTask, Task
from ml_assets.training import cross
from ml_assets.training import evaluation as evaluations
from ml_assets.training.architectures import ARCHITECTURES
from ml_assets.training.candidates import Candidate, candidates, chosen_model, note_metrics
from ml_assets.training.candidates import save as save_candidates
from ml_assets.training.code import code_version
from ml_assets.training.data import split_data
from ml_assets.training.figures import mistakes
from ml_assets.training.journal import checkpoint
from ml_assets.training.model import train_model
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import Trial, describe, tune
from ml_assets.visualization.figures import markdown


def training_assets(project: str, settings: TrainingSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The assets of the training stage."""
    gate: dict[str, Any] = {"minimum": {}, "may_drop": 0.0}
    tuned = settings.model_copy(update={**gate, "serve": None})
    trained = settings.model_copy(update=gate)

    @stage_asset(project, "training", "study", deps=["feature_set"], kinds=["pytorch", "optuna", "mlflow"], settings=[tuned])
    def study(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Trials of hyper-parameters on the training samples, each a nested MLflow run; the best one makes the model.

        One study for each feature set and architecture. Compared on validation samples, which come out of the training
        samples. Never sees the test split.
        """
        store, tracker, tell = workspace.store(project), Tracker(project), told(context)
        studies: list[dict[str, Any]] = []
        lines: list[str] = []
        for candidate in _candidates(store, settings):
            chosen, name = candidate.feature_set, candidate.name
            data = split_data(store, chosen, modality, task, candidate.architecture, "train")

            def on_trial(trial: Trial, name: str = name) -> None:
                report("trials", trial.number + 1, settings.trials)
                score = trial.ended if trial.score is None else f"validation {task.primary_metric} {trial.score:.4f}"
                tell(f"{name}: trial {trial.number + 1} of {settings.trials}: {score}, {trial.seconds:.1f} s")

            done = tune(
                candidate.study,
                data.examples,
                modality.only(chosen.inputs).encoder(chosen.encoder),
                chosen.classes,
                task,
                candidate.architecture,
                settings,
                tracker,
                {"dataset": chosen.dataset, "feature_set": chosen.id, "candidate": name, "code": code_version()},
                workspace.home / "optuna" / project,
                on_trial,
                EpochLog(f"{name}: trial ", candidate.architecture.epochs, tell).of_trial,
            )
            studies.append(
                {
                    "id": done.id,
                    "feature_set": chosen.id,
                    "architecture": done.best.type,
                    "best": json.dumps(describe(done.best)),
                    "score": done.score,
                    "trials": json.dumps([trial.as_row() for trial in done.trials]),
                    "run_id": done.run_id,
                    "at": now(),
                }
            )
            lines += [
                f"| {name} | {t.number + 1} | {t.ended if t.score is None else f'{t.score:.4f}'} | {_options(t)} |"
                for t in done.trials
            ]
        store.table("studies").upsert(rows("studies", studies), ignore=["at", "run_id"])
        head = [f"| candidate | trial | validation {task.primary_metric} | hyper-parameters |", "|---|---|---|---|"]
        return result(
            "-".join(row["id"] for row in studies),
            best_score=max(row["score"] for row in studies),
            trials=dg.MetadataValue.md("\n".join(head + lines)),
            mlflow=dg.MetadataValue.url(tracker.run_url(studies[0]["run_id"])),
        )

    @stage_asset(project, "training", "model", deps=["study", "feature_set"], kinds=["pytorch", "mlflow"], settings=[trained])
    def model(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The best architecture of each study, trained on all labelled training samples and registered in MLflow.

        The one with the highest validation score, or the one that the YAML names, may serve. Weights are safetensors beside
        a JSON description. Used by evaluation and deployment.
        """
        store, tracker, tell = workspace.store(project), Tracker(project), told(context)
        made: list[tuple[Candidate, float, str]] = []
        versions = []
        for candidate in _candidates(store, settings):
            chosen = candidate.feature_set
            found = store.table("studies").take([candidate.study]).to_pylist()
            if not found:
                raise dg.Failure(f"there is no study of {candidate.name} on {chosen.id} yet: run the asset study")
            best = ARCHITECTURES.parse(json.loads(found[0]["best"]))
            data = split_data(store, chosen, modality, task, best, "train")
            row = train_model(
                store, chosen, data, best, modality, task, settings.seed, candidate.study, code_version(), tracker, now(),
                EpochLog(f"{candidate.name}: ", best.epochs, tell).of_model,
                checkpoint(workspace.home / "optuna" / project, candidate.study, "model"),
            )  # fmt: skip
            made.append((candidate, found[0]["score"], row["id"]))
            versions.append(f"{row['id']}-{row['weights'][:8]}")
        winner = save_candidates(store, made, settings.serve, now())
        row = chosen_model(store) or {}
        return result(
            "-".join([*versions, winner]),
            version=row["id"],
            candidate=winner,
            samples=sum(split == "train" for candidate, _, _ in made if candidate.name == winner
                        for split in candidate.feature_set.rows["split"].to_pylist()),
            dataset=row["dataset"],
            mlflow=dg.MetadataValue.url(tracker.run_url(row["run_id"])),
        )  # fmt: skip

    @stage_asset(
        project, "training", "evaluation", deps=["model", "feature_set"], kinds=["pytorch", "mlflow"], settings=[settings]
    )
    def evaluation(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Each model on the test split, with intervals, beside the others and beside the model that serves.

        Says whether the chosen one may be deployed; the check `good_enough` blocks deployment otherwise.
        """
        store, tracker = workspace.store(project), Tracker(project)
        listed = sorted(store.table("candidates").read().to_pylist(), key=lambda row: (not row["chosen"], row["id"]))
        if not listed or not listed[0]["chosen"]:
            raise dg.Failure("there is no model yet: run the asset model")
        known = {chosen.id: chosen for chosen in sets.current(store)}
        done = {}
        for row in listed:
            if row["feature_set"] not in known:
                raise dg.Failure("there is a new feature set: run the assets study and model on it first")
            chosen = known[row["feature_set"]]
            done[row["model"]] = evaluations.evaluate(store, row["model"], chosen, modality, task, settings, tracker)
            evaluations.save(store, done[row["model"]], chosen.dataset, now())
            evaluations.log(done[row["model"]], chosen, task, tracker, store)
        note_metrics(store, {model: evaluations.flat(found.metrics) for model, found in done.items()})
        first, chosen = done[listed[0]["model"]], known[listed[0]["feature_set"]]
        metrics = {name: round(metric.value, 4) for name, metric in first.metrics.items()}
        shown = evaluations.compared([row | {"evaluation": done[row["model"]]} for row in listed], task)
        pictures = {"comparison chart": dg.MetadataValue.md(markdown(shown.picture, "all models"))} if shown.picture else {}
        return result(
            f"{'-'.join(done)}-{chosen.id}-{first.passed}-{metrics}",
            **metrics,
            model=first.model,
            intervals=evaluations.flat(first.metrics),
            passed=first.passed,
            reasons="; ".join(first.reasons) or "none",
            against=first.against or "nothing serves yet",
            test_samples=first.samples,
            comparison=dg.MetadataValue.md(shown.table),
            **pictures,
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
        """One row per labelled training sample: what models say of it that did not learn from it nor from its group.

        Made from `feature_set` by cross-validation on stored embeddings; the report shows where they are sure of another
        label, which may be wrong. Nothing for tasks that need a network of their own, such as spans and boxes.
        """
        store = workspace.store(project)
        chosen = sets.current(store)
        if not chosen:
            raise dg.Failure("there is no feature set yet: run the asset feature_set")
        table = store.table("cross_predictions")
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
    """The job `train_<project>`: one click from the newest dataset to an evaluated model."""
    nouns = ["feature_set", "study", "model", "evaluation", "cross_predictions"]
    job = dg.define_asset_job(
        f"train_{project}",
        selection=[key(project, noun) for noun in nouns],
        tags={"ml_assets/project": project},
        description="Trains a model on the newest dataset and evaluates it. Deploys nothing.",
    )
    return [job]


class EpochLog:
    """Says how a training goes: each epoch to the progress bar, about ten times a line in the log."""

    def __init__(self, what: str, epochs: int, tell: Callable[[str], None]):
        self.what, self.epochs, self.tell, self.every = what, epochs, tell, max(1, epochs // 10)

    def of_trial(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """One epoch of a study's trial."""
        self._say(f"{self.what}{trial + 1}, ", epoch, values)

    def of_model(self, epoch: int, values: Mapping[str, float]) -> None:
        """One epoch of a model."""
        self._say(self.what, epoch, values)

    def _say(self, what: str, epoch: int, values: Mapping[str, float]) -> None:
        report("epochs", epoch + 1, self.epochs)
        if (epoch + 1) % self.every == 0:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            self.tell(f"{what}epoch {epoch + 1} of {self.epochs}: {figures}")


def _candidates(store: ProjectStore, settings: TrainingSettings) -> list[Candidate]:
    found = candidates(store, settings)
    if not found:
        raise dg.Failure("there is no feature set yet: run the asset feature_set")
    return found


def _options(trial: Trial) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.architecture.model_dump().items())
