"""A study: a few trials of an architecture's hyper-parameters, each compared on validation samples.

The study is kept in a journal file, so that one that was killed goes on where it stopped.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.records import content_id
from ml_assets.tasks import Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.data import train_and_validation
from ml_assets.training.fit import Examples, fit, probabilities
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Study:
    """The outcome of a study.

    Args:
        id: `st-<digest>` of the feature set and the settings.
        best: The architecture of the best trial.
        score: Its headline metric on the validation samples.
        trials: One `{number, score, run_id, hyper-parameters…}` each.
        run_id: The MLflow run that the trials' runs are nested in.
    """

    id: str
    best: Architecture
    score: float
    trials: list[dict[str, Any]]
    run_id: str


def study_id(feature_set: str, settings: TrainingSettings) -> str:
    """The same for the same feature set and settings."""
    return "st-" + content_id(feature_set, settings.model_dump_json(exclude={"minimum", "may_drop"}))[:12]


def describe(architecture: Architecture) -> dict[str, Any]:
    """The architecture as it stands in YAML and in `model.json`."""
    return {"type": architecture.type, **architecture.model_dump()}


def tune(
    name: str,
    data: Examples,
    classes: tuple[str, ...],
    task: Task,
    settings: TrainingSettings,
    tracker: Tracker,
    tags: dict[str, str],
    journal: Path,
    on_trial: Callable[[int, int, float], None],
) -> Study:
    """Run the trials that are missing; `on_trial` gets the trial, how many there will be, and its score."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train, validation = train_and_validation(data, classes, settings.validation_share, settings.seed)
    targets = [classes[i] for i in validation.targets]

    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
    )
    done = len(_finished(study))

    with tracker.run(f"study {name}", {"trials": settings.trials, "architecture": settings.architecture.type}, tags) as parent:

        def objective(trial: "optuna.Trial") -> float:
            # the first trial is the architecture as it stands in the YAML
            tried = settings.architecture if trial.number == 0 else settings.architecture.suggest(trial)
            with tracker.run(f"trial {trial.number}", describe(tried), tags, parent=parent.id) as run:
                network = fit(tried, train, len(classes), settings.seed, validation, run.curve)
                guesses = [classes[i] for i in probabilities(network, validation.vectors).argmax(1)]
                metrics = task.metrics(targets, guesses, classes, settings.seed)
                run.metrics({f"validation_{k}": m.value for k, m in metrics.items()})
                trial.set_user_attr("architecture", json.dumps(describe(tried)))
                trial.set_user_attr("run_id", run.id)
            score = metrics[task.headline()].value
            on_trial(trial.number + 1, settings.trials, score)
            return score

        study.optimize(objective, n_trials=max(0, settings.trials - done))
        finished = _finished(study)
        best = max(finished, key=lambda t: (t.value or 0.0, -t.number))
        parent.metrics({f"best_validation_{task.headline()}": best.value or 0.0})

    trials = [{"number": t.number, "score": t.value, "run_id": t.user_attrs["run_id"],
               **json.loads(t.user_attrs["architecture"])} for t in finished]  # fmt: skip
    winner = ARCHITECTURES.parse(json.loads(best.user_attrs["architecture"]))
    return Study(name, winner, float(best.value or 0.0), trials, parent.id)


def _finished(study: "optuna.Study") -> list[Any]:
    import optuna

    return list(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
