"""What is remembered of a study, so that one that was killed goes on where it stopped: an Optuna journal, and checkpoints."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from ml_assets.inbox import write_whole
from ml_assets.records import content_id
from ml_assets.training.code import code_version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Interrupted:
    """A trial that has not ended.

    Args:
        run_id: Its MLflow run.
        seconds: How long it ran until then.
        curve: What it is compared by, at each epoch.
    """

    run_id: str | None = None
    seconds: float = 0.0
    curve: dict[int, float] = field(default_factory=dict)


class Journal:
    """One study in the folder. Each trial is known by its architecture, as `tuning.describe` gives it.

    Args:
        name: The study's id.
        folder: Holds the journal of all studies of a project, and the checkpoint of the training that goes on.
    """

    def __init__(self, name: str, folder: Path):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder = name, folder
        _mend(folder / "journal.log")
        storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        self._study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        states = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]
        self._ended = {t.user_attrs["architecture"]: t for t in self._study.get_trials(states=states)}

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the study, if it began before."""
        found = self._study.user_attrs.get("run_id")
        return None if found is None else str(found)

    def begin(self, run_id: str) -> None:
        """Remember the study's MLflow run."""
        self._study.set_user_attr("run_id", run_id)

    def seconds(self) -> float:
        """How long the study has run so far, all its runs together."""
        return float(self._study.user_attrs.get("seconds", 0.0))

    def spend(self, seconds: float) -> None:
        """Remember how long the study has run."""
        self._study.set_user_attr("seconds", seconds)

    def known(self, architecture: dict[str, Any]) -> dict[str, Any] | None:
        """`score`, `run_id`, `ended`, `seconds` and `curve` of a trial that ended."""
        trial = self._ended.get(json.dumps(architecture))
        if trial is None:
            return None
        attributes = {name: trial.user_attrs[name] for name in ("run_id", "ended", "seconds", "score")}
        return attributes | {"curve": dict(trial.intermediate_values)}

    def interrupted(self, architecture: dict[str, Any]) -> Interrupted:
        """How far a trial had come that was killed."""
        found = self._study.user_attrs.get("open", {})
        if found.get("architecture") != json.dumps(architecture):
            return Interrupted()
        return Interrupted(found["run_id"], found["seconds"], {int(k): v for k, v in found["curve"].items()})

    def begin_trial(self, architecture: dict[str, Any], so_far: Interrupted) -> None:
        """Remember how far a trial has come."""
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
        """Remember a trial for good. `asked` is Optuna's trial, which holds the hyper-parameters."""
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
        """The file of the trial's checkpoint."""
        return checkpoint(self.folder, self.name, json.dumps(architecture))


def _mend(path: Path) -> None:
    """Keep what stands before the first damaged line, which the journal was at an earlier moment; the file is put aside."""
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    good = list(takewhile(_is_entry, lines[:-1]))
    if good != lines[:-1] or lines[-1]:
        aside = path.with_suffix(".damaged")
        shutil.copyfile(path, aside)
        write_whole(path, b"".join(line + b"\n" for line in good))
        said = "%s is damaged after %d whole lines: trials after them run again, and the file is kept as %s"
        logger.warning(said, path, len(good), aside)


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and isinstance(entry.get("op_code"), int)


def checkpoint(folder: Path, *training: str) -> Path:
    """The file of a training's checkpoint, another one for other code; all others, which nobody will continue, are removed."""
    file = folder / f"{content_id(code_version(), *training)[:16]}.ckpt"
    for other in [*folder.glob("*.ckpt"), *folder.glob("*.part")]:
        if other != file:
            other.unlink()
    return file


def tell(study: Any, trial: Any, score: float | None) -> None:
    """Tell Optuna what came of a trial: its score, or that it was ended early."""
    import optuna

    if score is None:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, score)
