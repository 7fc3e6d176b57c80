"""Packages the model that may serve as a Bento, and records Bentos in the table `bentos`."""

import json
import tempfile
from datetime import datetime
from pathlib import Path

from ml_assets.deployment import bento
from ml_assets.deployment.bento import Built
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.errors import Missing
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task
from ml_assets.training.candidates import chosen_model
from ml_assets.training.registration import registered
from ml_assets.training.seal import of_bento
from ml_assets.training.tracking import Tracker


def passed_model(store: ProjectStore) -> str:
    """The version of the chosen model, if its evaluation passed. Raises `Missing` otherwise."""
    made = chosen_model(store)
    if made is None:
        raise Missing("there is no model yet: run the asset model")
    found = store.table("evaluations").take([made["id"]]).to_pylist()
    if not found:
        raise Missing(f"{made['id']} has not been evaluated: run the asset evaluation")
    if not found[0]["passed"]:
        raise Missing(f"{made['id']} may not serve: {found[0]['reason']}")
    return str(made["id"])


def package(store: ProjectStore, tracker: Tracker, version: str, settings: DeploymentSettings, task: Task) -> Built:
    """Build the Bento of a registered model, or return the existing one. Raises `Tampered` if the model was changed."""
    with tempfile.TemporaryDirectory() as folder:
        fetched, _ = registered(store, tracker, version, Path(folder))
        return bento.build(fetched, store.project, version, settings, task)


def note_bento(store: ProjectStore, made: Built, version: str, at: datetime) -> None:
    """Store a Bento in table `bentos`."""
    row = {"id": made.tag, "model": version, "path": str(made.path), "bytes": made.bytes, "at": at}
    row |= {"files": json.dumps(made.files)}
    store.table("bentos").upsert(rows("bentos", [row]), ignore=["at"])


def newest_bento(store: ProjectStore, version: str) -> str:
    """The tag of a model's newest Bento. Raises `Missing` if there is none, `Tampered` if its files were changed."""
    made = [row for row in store.table("bentos").read().to_pylist() if row["model"] == version]
    if not made:
        raise Missing(f"there is no Bento of {version} yet: run the asset bento")
    tag = str(max(made, key=lambda row: row["at"])["id"])
    of_bento(store, tag, version).check(bento.model_folder_of(tag))
    return tag
