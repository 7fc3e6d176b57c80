"""Runs the studies of all candidates, stores them, and lists their trials."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ml_assets.modalities import Modality
from ml_assets.state.progress import report
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task
from ml_assets.training.candidates import Candidate, required_candidates
from ml_assets.training.data import split_data
from ml_assets.training.epoch_log import EpochLog
from ml_assets.training.provenance import code_version
from ml_assets.training.settings import TrainingSettings
from ml_assets.training.tracking import Tracker
from ml_assets.training.tuning import Study, Trial, describe, tune


class TunedCandidate(NamedTuple):
    """A candidate with its study, and the time at which the study ended."""

    candidate: Candidate
    study: Study
    at: datetime


def run_studies(
    store: ProjectStore,
    modality: Modality,
    task: Task,
    settings: TrainingSettings,
    tracker: Tracker,
    folder: Path,
    log: Callable[[str], None],
    clock: Callable[[], datetime],
) -> list[TunedCandidate]:
    """Run the missing trials of each candidate's study, and return all studies. Raises `Missing` without a feature set.

    Args:
        store: The project's tables.
        modality: The modality of the samples.
        task: The label task.
        settings: Options of the training stage.
        tracker: Access to MLflow.
        folder: Holds the state of interrupted studies.
        log: Called with a line for each trial, and for some of its epochs.
        clock: Returns the current time.
    """
    done = []
    for candidate in required_candidates(store, settings):
        chosen, name = candidate.feature_set, candidate.name
        data = split_data(store, chosen, modality, task, candidate.architecture, "train")

        def on_trial(trial: Trial, name: str = name) -> None:
            report("trials", trial.number + 1, settings.trials)
            score = trial.ended if trial.score is None else f"validation {task.primary_metric} {trial.score:.4f}"
            log(f"{name}: trial {trial.number + 1} of {settings.trials}: {score}, {trial.seconds:.1f} s")

        study = tune(
            candidate.study,
            data.examples,
            modality.only(chosen.inputs).encoder(chosen.encoder),
            chosen.classes,
            task,
            candidate.architecture,
            settings,
            tracker,
            {"dataset": chosen.dataset, "feature_set": chosen.id, "candidate": name, "code": code_version()},
            folder,
            on_trial,
            EpochLog(f"{name}: trial ", candidate.architecture.epochs, log).of_trial,
        )
        done.append(TunedCandidate(candidate, study, clock()))
    return done


def save(store: ProjectStore, done: Sequence[TunedCandidate]) -> None:
    """Store studies in table `studies`."""
    made = [
        {
            "id": study.id,
            "feature_set": candidate.feature_set.id,
            "architecture": study.best.type,
            "best": json.dumps(describe(study.best)),
            "score": study.score,
            "trials": json.dumps([trial.as_row() for trial in study.trials]),
            "run_id": study.run_id,
            "at": at,
        }
        for candidate, study, at in done
    ]
    store.table("studies").upsert(rows("studies", made), ignore=["at", "run_id"])


def trials_table(done: Sequence[TunedCandidate], task: Task) -> str:
    """Markdown table with a row for each trial of each candidate, with its score and hyper-parameters."""
    head = [f"| candidate | trial | validation {task.primary_metric} | hyper-parameters |", "|---|---|---|---|"]
    lines = [
        f"| {candidate.name} | {t.number + 1} | {t.ended if t.score is None else f'{t.score:.4f}'} | {_options(t)} |"
        for candidate, study, _ in done
        for t in study.trials
    ]
    return "\n".join(head + lines)


def _options(trial: Trial) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.architecture.model_dump().items())
