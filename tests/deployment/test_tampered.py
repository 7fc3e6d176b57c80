"""A model that somebody changed is never deployed, and what served goes on; of older homes, what is not noted is noted."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from ml_assets.deployment import bento
from ml_assets.deployment.assets import deployment_assets
from ml_assets.deployment.bento import Built
from ml_assets.deployment.rollout import DeploymentFailed, deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.errors import Missing
from ml_assets.modalities import Text
from ml_assets.orchestration.resources import Workspace
from ml_assets.state.clock import now
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore, ledger
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice
from ml_assets.training import seal
from ml_assets.training.seal import Tampered, digests
from ml_assets.training.tracking import Tracker
from ml_assets.training.trained_model import TrainedModel

from .serving import CLASSES, PROJECT, TEXTS, Served, end, free_port, make_model, until


@pytest.fixture(autouse=True)
def _no_models(store: ProjectStore) -> Iterator[None]:
    """Other tests of this folder share the project, and know no rows of models."""
    yield
    store.table("models").delete("id IS NOT NULL")
    store.table("bentos").delete("id IS NOT NULL")


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server, which keeps the files of models and asks nobody who they are."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(f"{url}/health", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(ready, 120)
        yield url
    finally:
        end(process)


def registered(store: ProjectStore, server: str, folder: Path, seed: int) -> str:
    """A model of another seed in MLflow's registry, evaluated and chosen; its version."""
    tracker = Tracker(PROJECT, server)
    version = f"{PROJECT}-{tracker.next_version()}"
    made = make_model(folder / "model", version, seed)
    with tracker.run("model", {}, {}) as run:
        files = digests(made)
        tracker.register(run, made)
    row: dict[str, Any] = {
        "id": version, "run_id": run.id, "at": now(), "weights": content_id((made / "model.safetensors").read_bytes()),
        "files": json.dumps(files), "examples": json.dumps(TrainedModel.load(made).examples),
    }  # fmt: skip
    store.table("models").upsert(rows("models", [row]))
    chosen = {"id": "mlp", "model": version, "score": 1.0, "chosen": True, "at": now()}
    store.table("candidates").upsert(rows("candidates", [chosen]))
    passed = {"id": version, "model": version, "metrics": "{}", "samples": 1, "passed": True, "at": now()}
    store.table("evaluations").upsert(rows("evaluations", [passed]))
    return version


def overwrite(server: str, store: ProjectStore, version: str) -> None:
    """What another user of the machine can do: put another description over a model's, with the classes rotated."""
    tracker = Tracker(PROJECT, server)
    source = tracker.client.get_model_version(PROJECT, version.rsplit("-", 1)[-1])
    inside = f"{source.source.removeprefix('models:/')}"
    place = tracker.client.get_logged_model(inside).artifact_location.removeprefix("mlflow-artifacts:/")
    address = f"{server}/api/2.0/mlflow-artifacts/artifacts/{place.lstrip('/')}/artifacts/model/model.json"
    said = httpx.get(address).raise_for_status().json()
    changed = said | {"classes": [*said["classes"][1:], said["classes"][0]]}
    httpx.put(address, content=json.dumps(changed)).raise_for_status()
    assert httpx.get(address).json()["classes"] == changed["classes"]


def test_a_model_that_was_overwritten_in_mlflow_is_not_deployed_and_the_old_one_serves_on(
    mlflow_server: str, client: httpx.Client, store: ProjectStore, live: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    before = ledger.serving(store)
    task = SingleChoice(classes=(*CLASSES, "other"))
    made, deployed, _ = deployment_assets(PROJECT, DeploymentSettings(wait_seconds=120), Text(), task)

    version = registered(store, mlflow_server, tmp_path / "one", 21)
    overwrite(mlflow_server, store, version)
    with pytest.raises(Tampered, match=rf"the model {version} is not used: model\.json in .* is not the file that was made"):
        made(workspace=Workspace())
    assert store.table("bentos").count(f"model = '{version}'") == 0
    with pytest.raises(Missing, match=f"there is no Bento of {version} yet"):
        deployed(dg.build_asset_context(), workspace=Workspace())
    assert ledger.serving(store) == before
    answer = client.post(f"/{PROJECT}/predict", json={"samples": list(TEXTS)})
    assert (answer.status_code, answer.json()["model"]) == (200, live)

    # one that nobody changed is packaged and its Bento noted; changed there, it is not deployed either
    version = registered(store, mlflow_server, tmp_path / "two", 22)
    made(workspace=Workspace())
    [row] = store.table("bentos").read(where=f"model = '{version}'").to_pylist()
    assert sorted(json.loads(row["files"])) == ["limits.json", "model.json", "model.safetensors"]
    limits = bento.model_folder_of(row["id"]) / "limits.json"
    whole = limits.read_bytes()
    limits.write_text("{}")
    with pytest.raises(Tampered, match=r"limits\.json in .* is not the file that was made"):
        deployed(dg.build_asset_context(), workspace=Workspace())
    with pytest.raises(Tampered, match=r"limits\.json in .* is not the file that was made"):
        made(workspace=Workspace())  # and is not noted anew
    limits.write_bytes(whole)
    assert ledger.serving(store) == before


def copied(store: ProjectStore, built: Built, name: str, **row: Any) -> tuple[str, Path]:
    """A copy of the Bento with a row of its own; its tag, and the model's folder in it."""
    source = bento.model_folder_of(built.tag).parents[1]
    target = source.with_name(f"letters-2-{name}")
    shutil.copytree(source, target, dirs_exist_ok=True)
    tag, folder = f"letters:{target.name}", target / "src" / "model"
    made = {"id": tag, "model": "letters-2", "path": str(target), "bytes": 1, "at": now(), **row}
    store.table("bentos").upsert(rows("bentos", [made]))
    return tag, folder


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "limits.json", "extra.json"])
def test_every_worker_compares_the_files_of_a_bento(
    endpoint: Served, client: httpx.Client, store: ProjectStore, bentos: list[Built], live: str, name: str
) -> None:
    tag, folder = copied(store, bentos[1], f"changed-{name}", files=json.dumps(bentos[1].files))
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(DeploymentFailed, match=f"the model letters-2 is not used: {name} in .*"):
        deploy(store, "letters-2", tag, "a test", 60, now(), lambda _: None)
    assert client.post(f"/{PROJECT}/predict", json={"samples": [TEXTS[0]]}).json()["model"] == live


def test_workers_check_a_model_on_the_examples_of_our_table(
    endpoint: Served, store: ProjectStore, bentos: list[Built], live: str
) -> None:
    tag, folder = copied(store, bentos[1], "examples", files=json.dumps(bentos[1].files))
    model = TrainedModel.load(folder)
    others = [e | {"scores": e["scores"][::-1]} for e in model.examples]
    row = {"id": "letters-2", "files": json.dumps({}), "examples": json.dumps(others), "at": now()}
    store.table("models").upsert(rows("models", [row]))
    with pytest.raises(DeploymentFailed, match="the model letters-2 gives other answers here than where it was made"):
        deploy(store, "letters-2", tag, "a test", 60, now(), lambda _: None)


def test_a_bento_of_the_version_before_serves_and_is_noted_once_it_was_checked(
    endpoint: Served, store: ProjectStore, bentos: list[Built], live: str
) -> None:
    tag, folder = copied(store, bentos[1], "older")
    weights = content_id((folder / "model.safetensors").read_bytes())
    known = {"id": "letters-2", "weights": weights, "classes": json.dumps(CLASSES), "encoder": "minilm", "at": now()}
    store.table("models").upsert(rows("models", [known]))
    try:
        deploy(store, "letters-2", tag, "a test", 60, now(), lambda _: None)
        until(lambda: store.table("bentos").take([tag], ["files"])["files"].to_pylist() == [json.dumps(bentos[1].files)])
        [row] = store.table("models").take(["letters-2"]).to_pylist()
        assert json.loads(row["files"]) == {n: d for n, d in bentos[1].files.items() if n != "limits.json"}
        assert json.loads(row["examples"]) == TrainedModel.load(folder).examples
        os.truncate(folder / "limits.json", 2)
        with pytest.raises(Tampered, match=r"limits\.json"):
            bento.opened(store, tag, "letters-2")
    finally:
        deploy(store, "letters-1", bentos[0].tag, "a test", 120, now(), lambda _: None)


def test_a_bento_of_the_version_before_whose_weights_are_others_is_refused(store: ProjectStore, bentos: list[Built]) -> None:
    tag, folder = copied(store, bentos[1], "older-others")
    row = {"id": "letters-2", "weights": content_id(b"others"), "at": now()}
    store.table("models").upsert(rows("models", [row]))
    with pytest.raises(Tampered, match=r"model\.safetensors in .* is not the file that was made"):
        bento.opened(store, tag, "letters-2")
    assert seal.of_bento(store, tag, "letters-2").files is None
    assert folder.is_dir()
