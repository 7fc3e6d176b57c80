"""Runs a study: a few trials of an architecture's hyper-parameters, compared on validation samples.

The study is kept in a journal file, so that an interrupted one continues with the missing trials and, inside of the interrupted
trial, with the missing epochs.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_assets.modalities import Encoder
from ml_assets.state.digests import content_id
from ml_assets.tasks import Task
from ml_assets.training.architectures import Architecture
from ml_assets.training.data import train_and_validation
from ml_assets.training.fit import Examples, fit, predict
from ml_assets.training.journal import Interrupted, Journal, log_outcome
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import TrackedRun, Tracker

PRUNE_AFTER = 2
"""Number of trials that always run to their end before any may be pruned."""


@dataclass(frozen=True)
class Trial:
    """One trial of a study.

    Args:
        number: Counted from 0.
        architecture: The architecture with the tried hyper-parameters.
        score: Primary metric on the validation samples; None if it was ended early.
        run_id: Its MLflow run.
        ended: `finished`, `pruned` (worse than earlier ones) or `stopped` (the study's time was over).
        seconds: Duration.
        curve: Value of the trial metric at each epoch.
    """

    number: int
    architecture: Architecture
    score: float | None
    run_id: str
    ended: str
    seconds: float
    curve: dict[int, float] = field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """The trial as a dictionary for table `studies`."""
        known = {"number": self.number, "score": self.score, "run_id": self.run_id, "ended": self.ended}
        return known | describe(self.architecture)


@dataclass(frozen=True)
class Study:
    """The result of a study.

    Args:
        id: `st-<digest>` of the feature set and the settings.
        best: The architecture of the best trial.
        score: Its primary metric on the validation samples.
        trials: All trials.
        run_id: The MLflow run that the trials' runs are nested in.
    """

    id: str
    best: Architecture
    score: float
    trials: list[Trial]
    run_id: str


def study_id(feature_set: str, architecture: Architecture, settings: TrainingSettings) -> str:
    """The id of a study: a digest of feature set, architecture and settings."""
    how = settings.model_dump_json(include={"trials", "minutes", "prune", "validation_share", "seed"})
    return "st-" + content_id(feature_set, json.dumps(describe(architecture)), how)[:12]


def describe(architecture: Architecture) -> dict[str, Any]:
    """The architecture as a dictionary, as in YAML and in `model.json`."""
    return {"type": architecture.type, **architecture.model_dump(mode="json")}


def tune(
    name: str,
    data: Examples,
    encoder: Encoder,
    classes: tuple[str, ...],
    task: Task,
    architecture: Architecture,
    settings: TrainingSettings,
    tracker: Tracker,
    tags: dict[str, str],
    folder: Path,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    on_epoch: Callable[[int, int, Mapping[str, float]], None] = lambda trial, epoch, values: None,
) -> Study:
    """Run the missing trials of a study; the state for a continuation is kept in `folder`.

    `on_trial` is called with each new trial that ended, `on_epoch` with the trial's number, the epoch and its metrics.
    """
    began = time.monotonic()
    train, validation = train_and_validation(data, classes, task, settings.validation_share, settings.seed)
    compared = f"val_{task.trial_metric}"
    journal, proposed, trials = Journal(name, folder), _proposals(settings), list[Trial]()
    began -= journal.seconds()  # count the time before an interruption
    until = began + settings.minutes * 60 if settings.minutes else math.inf

    def score(network: Any, tried: Architecture, run: TrackedRun) -> float:
        found = predict(tried, network, validation.inputs, classes, task)
        metrics = task.metrics(validation.values, found.labels, classes, settings.seed, validation.items)
        run.metrics({f"validation_{k}": m.value for k, m in metrics.items()})
        return metrics[task.primary_metric].value

    def run_trial(number: int, tried: Architecture, asked: Any, parent: str) -> Trial:
        import optuna

        before = journal.interrupted(describe(tried))
        curve, started = dict(before.curve), time.monotonic() - before.seconds
        for epoch, value in curve.items():
            asked.report(value, epoch)
        with tracker.run(f"trial {number}", describe(tried), tags, parent=parent, again=before.run_id) as run:

            def watch(epoch: int, values: Mapping[str, float]) -> None:
                run.curve(epoch, values)
                on_epoch(number, epoch, values)
                if compared in values and epoch not in curve:
                    curve[epoch] = values[compared]
                    asked.report(curve[epoch], epoch)
                    journal.begin_trial(describe(tried), Interrupted(run.id, time.monotonic() - started, curve))
                    journal.spend(time.monotonic() - began)
                    if settings.prune and asked.should_prune():
                        raise optuna.TrialPruned

            journal.begin_trial(describe(tried), Interrupted(run.id, before.seconds, curve))
            reached, ended = None, "finished"
            try:
                network = fit(
                    tried,
                    encoder,
                    train,
                    classes,
                    task,
                    settings.seed,
                    validation,
                    watch,
                    journal.checkpoint(describe(tried)),
                    until,
                )
            except optuna.TrialPruned:
                ended = "pruned"
            else:
                ended = "stopped" if time.monotonic() >= until else "finished"
                if ended == "finished" or not trials:  # without a finished trial, score an interrupted one
                    reached = score(network, tried, run)
            run.tag("ended", ended)
            return Trial(number, tried, reached, run.id, ended, time.monotonic() - started, curve)

    params = {"trials": settings.trials, "architecture": architecture.type}
    with tracker.run(f"study {name}", params, tags, again=journal.run_id) as parent:
        journal.begin(parent.id)
        for number in range(settings.trials):
            asked = proposed.ask()
            # the first trial is the architecture as it stands in the YAML
            tried = architecture if number == 0 else architecture.suggest(asked)
            known = journal.known(describe(tried))
            if known is not None:
                done = Trial(number, tried, **known)
                for epoch, value in done.curve.items():
                    asked.report(value, epoch)
            elif trials and time.monotonic() >= until:
                break
            else:
                done = run_trial(number, tried, asked, parent.id)
                journal.end_trial(describe(tried), asked, done.score, done.run_id, done.ended, done.seconds, done.curve)
                on_trial(done)
            log_outcome(proposed, asked, done.score)
            trials.append(done)
        journal.spend(time.monotonic() - began)
        winner = max((t for t in trials if t.score is not None), key=lambda t: (t.score or 0.0, -t.number))
        assert winner.score is not None
        parent.metrics({f"best_validation_{task.primary_metric}": winner.score})
    return Study(name, winner.architecture, winner.score, trials, parent.id)


def _proposals(settings: TrainingSettings) -> Any:
    """An Optuna study that only proposes hyper-parameters: the same ones in the same order, also after an interruption."""
    import optuna

    return optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNE_AFTER),
    )
