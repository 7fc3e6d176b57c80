"""A real home with two projects that have gone through the loop, as it lies on the disk when the machine is switched off."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.serving import CLASSES, PROJECT, make_model

from ml_assets.deployment import bento, keys
from ml_assets.deployment.rollout import deploy
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

from . import acknowledged, checkpoints, project
from .acknowledged import Acknowledged, application, bring_in
from .loop import Installation

BESIDE = PROJECT
"""The second project: what happens to the first one's files must not touch it."""
YAML = f"""type: ml_assets.project.MLProject
attributes:
  collection: {{modality: text, min_length: 1}}
  labeling: {{task: {{type: single_choice, classes: [{", ".join(CLASSES)}]}}}}
  training: {{architecture: {{type: mlp, hidden: 16}}, trials: 1}}
"""
CLASSES_OF = {project.NAME: tuple(project.TOPICS), BESIDE: CLASSES}
LOAD_SECONDS = 1.5
KNOWN = "known.json"


@dataclass
class Home:
    """A home and how to have it again.

    Args:
        folder: Where it lies; tables and databases hold this path.
        pristine: A copy of it.
        environment: Variables with which commands reach it.
        known: By project: what was acknowledged to its application.
        secrets: By project: the application's key.
    """

    folder: Path
    pristine: Path
    environment: dict[str, str]
    known: dict[str, Acknowledged]
    secrets: dict[str, str]

    def restore(self) -> None:
        """Make it as it was."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.pristine, self.folder, symlinks=True)

    def files(self) -> list[str]:
        """All its files, relative to it."""
        return sorted(str(p.relative_to(self.pristine)) for p in self.pristine.rglob("*") if p.is_file() and not p.is_symlink())


def made(folder: Path, say: Callable[[str], None]) -> Home:
    """The home in the folder, made by a whole loop (2 to 4 minutes) unless it is there."""
    if not (folder / KNOWN).exists():
        shutil.rmtree(folder, ignore_errors=True)
        say(f"a loop that makes a home, in {folder}")
        installation = Installation.make(folder, small=True)
        try:
            installation.run([], say, fill)
        finally:
            installation.close()
    stored = json.loads((folder / KNOWN).read_text())
    known = {name: _read(each) for name, each in stored["known"].items()}
    return Home(folder / "home", folder / "pristine", stored["environment"], known, stored["secrets"])


def fill(of: Installation) -> None:
    """Put a model of the second project into production, send both some traffic, and copy the home while its servers run."""
    (of.folder / "defs" / BESIDE).mkdir()
    (of.folder / "defs" / BESIDE / "defs.yaml").write_text(YAML, encoding="utf-8")
    with of.entered():
        store = ProjectStore(BESIDE)
        model = make_model(of.folder / "model", f"{BESIDE}-1", 1)
        built = bento.build(model, BESIDE, f"{BESIDE}-1", task=SingleChoice(classes=CLASSES))
        deploy(store, f"{BESIDE}-1", built.tag, "a test", 120, now(), lambda _: None)
        secrets = {name: keys.add(name, keys.SCOPES, acknowledged.NAME, now()) for name in CLASSES_OF}
        known = {name: Acknowledged() for name in CLASSES_OF}
        for part in range(2):  # the first part comes into the tables, the second waits in segments and in the inbox
            for name, classes in CLASSES_OF.items():
                with application(url("endpoint"), name, secrets[name], classes, part) as acked:
                    time.sleep(LOAD_SECONDS)
                known[name].add(acked)
                if part == 0:
                    bring_in(ProjectStore(name), classes, now())
        checkpoints.leave(of.home / checkpoints.FILE)
        shutil.copytree(of.home, of.folder / "pristine", symlinks=True)
    stored = {"environment": of.environment, "secrets": secrets, "known": {name: _plain(each) for name, each in known.items()}}
    (of.folder / KNOWN).write_text(json.dumps(stored))


def _plain(whole: Acknowledged) -> dict[str, Any]:
    """As JSON."""
    return {
        "predictions": [[key, *value] for key, value in whole.predictions.items()],
        "feedback": [[*key, value] for key, value in whole.feedback.items()],
        "samples": list(whole.samples),
        "labels": list(whole.labels.items()),
    }


def _read(stored: dict[str, Any]) -> Acknowledged:
    return Acknowledged(
        {key: tuple(value) for key, *value in stored["predictions"]},
        {(prediction, label): name for prediction, label, name in stored["feedback"]},
        dict.fromkeys(stored["samples"]),
        dict(stored["labels"]),
    )
