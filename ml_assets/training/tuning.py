"""A study: a few trials of an architecture's hyper-parameters, each compared on validation samples.

The study is kept in a journal file, so that one that was killed goes on where it stopped.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_assets.records import content_id
from ml_assets.tasks import Task
from ml_assets.training.architectures import ARCHITECTURES, Architecture
from ml_assets.training.data import train_and_validation
from ml_assets.training.fit import Examples, fit, probabilities
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker


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
    stored = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))), study_name=name, direction="maximize", load_if_exists=True
    )
    known = {t.user_attrs["architecture"]: t for t in stored.get_trials(states=[optuna.trial.TrialState.COMPLETE])}
    # asked from the start each time, it proposes the same trials, also after an interruption
    proposed = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=settings.seed))
    trials: list[dict[str, Any]] = []

    params = {"trials": settings.trials, "architecture": settings.architecture.type}
    with tracker.run(f"study {name}", params, tags, again=stored.user_attrs.get("run_id")) as parent:
        stored.set_user_attr("run_id", parent.id)
        for number in range(settings.trials):
            trial = proposed.ask()
            # the first trial is the architecture as it stands in the YAML
            tried = settings.architecture if number == 0 else settings.architecture.suggest(trial)
            text = json.dumps(describe(tried))
            if text not in known:
                with tracker.run(f"trial {number}", describe(tried), tags, parent=parent.id) as run:
                    network = fit(tried, train, len(classes), settings.seed, validation, run.curve)
                    guesses = [classes[i] for i in probabilities(network, validation.vectors).argmax(1)]
                    metrics = task.metrics(targets, guesses, classes, settings.seed)
                    run.metrics({f"validation_{k}": m.value for k, m in metrics.items()})
                known[text] = optuna.trial.create_trial(
                    value=metrics[task.headline()].value,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs={"architecture": text, "run_id": run.id},
                )
                stored.add_trial(known[text])
                on_trial(number + 1, settings.trials, float(known[text].value))
            score = float(known[text].value)
            proposed.tell(trial, score)
            trials.append({"number": number, "score": score, "run_id": known[text].user_attrs["run_id"], **describe(tried)})
        best = max(trials, key=lambda t: (t["score"], -t["number"]))
        parent.metrics({f"best_validation_{task.headline()}": best["score"]})

    winner = ARCHITECTURES.parse({k: v for k, v in best.items() if k not in ("number", "score", "run_id")})
    return Study(name, winner, best["score"], trials, parent.id)
