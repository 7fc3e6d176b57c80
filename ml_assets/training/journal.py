"""Stores the state of studies (Optuna journal, checkpoints), so that an interrupted study continues where it stopped."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ml_assets.state.digests import content_id
from ml_assets.state.files import write_whole
from ml_assets.state.progress import log_line
from ml_assets.training.provenance import code_version

logger = logging.getLogger("ml_assets.training")


@dataclass(frozen=True)
class Interrupted:
    """The state of a trial that has not ended.

    Args:
        run_id: Its MLflow run.
        seconds: Time that it has run so far.
        curve: Value of the trial metric at each epoch.
    """

    run_id: str | None = None
    seconds: float = 0.0
    curve: dict[int, float] = field(default_factory=dict)


class Journal:
    """The stored state of one study. Trials are identified by their architecture, as returned by `tuning.describe`.

    Args:
        name: Id of the study.
        folder: Holds the journal of all studies of a project, and the checkpoint of the current training.
    """

    def __init__(self, name: str, folder: Path):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder = name, folder
        file = folder / "journal.log"
        keep_whole_lines(file)
        try:
            self._study, self._ended = _opened(file, name)
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            put_aside(file, f"Optuna cannot use it ({type(error).__name__}: {error}), so all studies in it start anew")
            self._study, self._ended = _opened(file, name)

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the study; None if it has not begun."""
        found = self._study.user_attrs.get("run_id")
        return None if found is None else str(found)

    def begin(self, run_id: str) -> None:
        """Store the study's MLflow run."""
        self._study.set_user_attr("run_id", run_id)

    def seconds(self) -> float:
        """Total time that the study has run so far, in seconds."""
        return float(self._study.user_attrs.get("seconds", 0.0))

    def spend(self, seconds: float) -> None:
        """Store the total time that the study has run."""
        self._study.set_user_attr("seconds", seconds)

    def known(self, architecture: dict[str, Any]) -> dict[str, Any] | None:
        """`score`, `run_id`, `ended`, `seconds` and `curve` of a trial that has ended; None if there is none."""
        trial = self._ended.get(json.dumps(architecture))
        if trial is None:
            return None
        attributes = {name: trial.user_attrs[name] for name in ("run_id", "ended", "seconds", "score")}
        return attributes | {"curve": dict(trial.intermediate_values)}

    def interrupted(self, architecture: dict[str, Any]) -> Interrupted:
        """The state of a trial that was interrupted, or that of a new one."""
        found = self._study.user_attrs.get("open", {})
        if found.get("architecture") != json.dumps(architecture):
            return Interrupted()
        return Interrupted(found["run_id"], found["seconds"], {int(k): v for k, v in found["curve"].items()})

    def begin_trial(self, architecture: dict[str, Any], so_far: Interrupted) -> None:
        """Store the state of the current trial."""
        self._study.set_user_attr("open", {"architecture": json.dumps(architecture), **asdict(so_far)})

    def end_trial(
        self,
        architecture: dict[str, Any],
        asked: Any,
        score: float | None,
        run_id: str,
        ended: str,
        seconds: float,
        curve: dict[int, float],
    ) -> None:
        """Store a trial that has ended. `asked` is Optuna's trial, which holds the hyper-parameters."""
        import optuna

        text = json.dumps(architecture)
        states = optuna.trial.TrialState
        trial = optuna.trial.create_trial(
            state=states.PRUNED if score is None else states.COMPLETE,
            value=score,
            params=asked.params,
            distributions=asked.distributions,
            intermediate_values=curve,
            user_attrs={"architecture": text, "run_id": run_id, "ended": ended, "seconds": seconds, "score": score},
        )
        self._study.add_trial(trial)
        self._study.set_user_attr("open", {})
        self._ended[text] = trial
        self.checkpoint(architecture).unlink(missing_ok=True)

    def checkpoint(self, architecture: dict[str, Any]) -> Path:
        """Path of the trial's checkpoint."""
        return checkpoint(self.folder, self.name, json.dumps(architecture))


def keep_whole_lines(file: Path) -> None:
    """Truncate a journal before its first damaged line, and keep the original file beside it.

    Later lines refer to trials by number, so they cannot be used without the damaged one.
    """
    if not file.exists():
        return
    lines = file.read_bytes().splitlines(keepends=True)
    whole = next((n for n, line in enumerate(lines) if not _is_entry(line)), len(lines))
    if whole < len(lines):
        put_aside(file, f"line {whole + 1} of {len(lines)} is damaged, so studies go on from the {whole} before it")
        write_whole(file, b"".join(lines[:whole]))


def put_aside(file: Path, why: str) -> None:
    """Rename a file that cannot be used to `<name>.damaged`, and log it."""
    damaged = file.with_name(f"{file.name}.damaged")
    os.replace(file, damaged)
    line = f"{file} was put aside as {damaged.name}: {why}"
    logger.warning(line)
    log_line(line)


def _is_entry(line: bytes) -> bool:
    """Whether the line is a complete entry of an Optuna journal."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return line.endswith(b"\n") and isinstance(entry, dict) and isinstance(entry.get("op_code"), int)


def _opened(file: Path, name: str) -> tuple[Any, dict[str, Any]]:
    """The study in Optuna's journal, and its ended trials by architecture."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    states = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]
    return study, {t.user_attrs["architecture"]: t for t in study.get_trials(states=states)}


def checkpoint(folder: Path, *training: str) -> Path:
    """Path of a training's checkpoint, which depends on the code version; deletes all other checkpoints in the folder."""
    file = folder / f"{content_id(code_version(), *training)[:16]}.ckpt"
    for other in [*folder.glob("*.ckpt"), *folder.glob("*.part")]:
        if other != file:
            other.unlink()
    return file


def log_outcome(study: Any, trial: Any, score: float | None) -> None:
    """Tell Optuna the outcome of a trial: its score, or that it was pruned if the score is None."""
    import optuna

    if score is None:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, score)
