"""The installation that is attacked: real servers in a home of its own, three small models, a published test label."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from deployment.serving import build_new
from installation import SERVICES, free_port, processes_of

from ml_assets.deployment import keys
from ml_assets.deployment.bento import Built
from ml_assets.deployment.rollout import deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.services import processes
from ml_assets.state import credentials
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

from . import media

COMMAND = str(Path(sys.executable).with_name("ml-assets"))
CLASSES = ("hockey", "space", "med")
LETTERS, ARROWS, NOISES = "letters", "arrows", "noises"
"""Projects of texts, of pictures and of sounds."""
TESTED = "The doctor prescribed some rest and a lot of water."
"""A sample of `letters` whose label came with the data, in the test split."""
TRUTH = "med"
TEXTS = {TESTED: TRUTH, "The goalie saved the last shot of the game.": "hockey", "A rocket is on its way to the moon.": "space"}
REPORTED = "what only people of this installation may read"
"""Stands in the report that the explorer shows."""
YAML = """type: ml_assets.project.MLProject
attributes:
  collection:
    modality: {modality}
    poll_seconds: 5
    sources: {sources}
  labeling:
    task: {{type: single_choice, classes: [{classes}]}}
    poll_seconds: 5
    queue: {{size: 4, total: 4}}
"""
TEST_TABLE = "[{type: table, name: test, path: $ML_ASSETS_HOME/data/test.csv, split: test, label: label, labeler: published}]"
MODEL_FILE = "model/model.json"


@dataclass(frozen=True)
class Target:
    """A running installation, and what its owner knows of it.

    Args:
        folder: Holds the home and the folder of temporary files; every user of the machine can get here.
        home: All state; what others could read of it when it was made is for the product to close.
        temporary: What the servers take for `/tmp`, so that what they leave there is known to be theirs.
        environment: Variables with which commands reach it.
        keys: A key of each project that may do everything.
        run_id: A run in MLflow with the artifact `model/model.json`, of which a version is registered.
    """

    folder: Path
    home: Path
    temporary: Path
    environment: dict[str, str]
    ports: dict[str, int]
    keys: dict[str, str] = field(default_factory=dict)
    run_id: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, name: str = "attacked") -> "Target":
        """One whose servers do not run yet; its home is as open as those that a user of an earlier version has."""
        folder = Path(tempfile.mkdtemp(prefix=f"ml-assets-{name}-", dir="/tmp"))
        home, defs, temporary = folder / "home", folder / "defs", folder / "tmp"
        for path, mode in ((folder, 0o755), (home, 0o755), (home / "data", 0o755), (temporary, 0o1777)):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        lines = ["text,label", *(f'"{text}",{label}' for text, label in TEXTS.items())]
        (home / "data" / "test.csv").write_text("\n".join(lines) + "\n")
        for project, modality, sources in ((LETTERS, "text", TEST_TABLE), (ARROWS, "image", "[]"), (NOISES, "audio", "[]")):
            (defs / project).mkdir(parents=True)
            yaml = YAML.format(modality=modality, sources=sources, classes=", ".join(CLASSES))
            (defs / project / "defs.yaml").write_text(yaml)
        ports = {service: free_port() for service in SERVICES}
        here = str(Path(__file__).parents[1])
        environment = {
            **os.environ,
            "ML_ASSETS_HOME": str(home),
            "ML_ASSETS_DEFS": str(defs),
            "TMPDIR": str(temporary),
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])),
            **{f"ML_ASSETS_{service.upper()}_PORT": str(port) for service, port in ports.items()},
        }
        for name in ("BENTOML_HOME", "ML_ASSETS_STORE", "ML_ASSETS_API_KEY"):
            environment.pop(name, None)
        return cls(folder, home, temporary, environment, ports)

    def url(self, service: str) -> str:
        """The base address of a server."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def run(self, *arguments: str, seconds: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `ml-assets`, with more variables."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def command(self, *arguments: str) -> str:
        """Run `ml-assets`, which must succeed, and return its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process sees the installation as the commands do."""
        before = dict(os.environ)
        # but its folder of temporary files: Python would remember it, and it goes with the installation
        own = {name: value for name, value in self.environment.items() if name != "TMPDIR"}
        os.environ.update(own)
        for name in before.keys() - own.keys() - {"TMPDIR"}:
            del os.environ[name]
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def add_key(self, project: str, *scopes: str, name: str = "the attacker") -> str:
        """The secret of a new key."""
        return keys.add(project, scopes or keys.SCOPES, name, now(), self.home / "keys.json")

    def secrets(self) -> list[str]:
        """What nobody else may ever see: the administrator's password and token, and all keys."""
        stored = json.loads((self.home / "credentials").read_text())
        own = self.home / "command_keys.json"
        of_commands = json.loads(own.read_text()) if own.exists() else {}
        found = [value for name, value in stored.items() if "email" not in name]
        return [*found, *self.keys.values(), *(v for v in of_commands.values() if isinstance(v, str))]

    def administrator(self) -> credentials.LabelStudioAccount:
        """The account in Label Studio."""
        with self.entered():
            return credentials.label_studio()

    def workers(self) -> list[psutil.Process]:
        """The processes of the endpoint."""
        return processes.of_home("endpoint", self.home)

    def client(self, project: str, secret: str | None = None, seconds: float = 60) -> httpx.Client:
        """An honest application of a project."""
        headers = {"Authorization": f"Bearer {secret or self.keys[project]}"}
        return httpx.Client(base_url=f"{self.url('endpoint')}/{project}", headers=headers, timeout=seconds, trust_env=False)

    def dagster(self, query: str, **variables: Any) -> Any:
        """What Dagster answers its own user."""
        body = {"query": query, "variables": variables}
        return httpx.post(f"{self.url('dagster')}/graphql", json=body, timeout=60, trust_env=False).json()["data"]

    def mlflow(self, method: str, path: str, **body: Any) -> Any:
        """What MLflow answers its own user."""
        answer = httpx.request(
            method, f"{self.url('mlflow')}/api/2.0/mlflow/{path}", json=body or None, timeout=60, trust_env=False
        )
        return answer.raise_for_status().json()

    def down(self) -> None:
        """End its servers, which must succeed and leave no process; then the folder goes."""
        try:
            self.command("down")
        finally:
            left = processes_of(self.home)
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"left behind by `down`: {left}"


@contextmanager
def attacked() -> Iterator[Target]:
    """An installation with servers up, models deployed, one project collected; ended afterwards."""
    target = Target.make()
    try:
        with ThreadPoolExecutor(1) as pool:
            up = pool.submit(target.command, "up", "--detach")
            built = _built(target)
            up.result()
            collected = pool.submit(target.command, "run", LETTERS, "collection", "labeling")
            with target.entered():
                for project, each in built.items():
                    target.keys[project] = target.add_key(project, name="the app")
                    deploy(ProjectStore(project), f"{project}-1", each.tag, "a test", 120, now(), lambda _: None)
            _fill(target)
            collected.result()
        yield target
    finally:
        target.down()


def _built(target: Target) -> dict[str, Built]:
    """A Bento of each project, while the servers start."""
    task, folder = SingleChoice(classes=CLASSES), target.folder / "models"
    limits = DeploymentSettings(requests_per_minute=10_000_000)  # fuzzed requests are many
    with target.entered():
        return {
            project: build_new(folder / project, project, modality, architecture, task, items, limits)
            for project, modality, architecture, items in (
                (LETTERS, "text", {"type": "mlp", "hidden": 16}, list(TEXTS)),
                (ARROWS, "image", {"type": "image_cnn", "width": 4, "size": 16}, [media.picture("PNG", 0)]),
                (NOISES, "audio", {"type": "mlp", "hidden": 8}, [media.sound("WAV", 0)]),
            )
        }


def _fill(target: Target) -> None:
    """What else there is to be attacked: a report, and a registered model in MLflow."""
    report = target.home / "reports" / LETTERS
    report.mkdir(parents=True, exist_ok=True)
    (report / "index.html").write_text(f"<!doctype html><title>{LETTERS}</title><p>{REPORTED}</p>")
    experiment = target.mlflow("POST", "experiments/create", name=LETTERS + secrets.token_hex(4))["experiment_id"]
    run_id = target.mlflow("POST", "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    target.run_id.append(run_id)
    stored = httpx.put(artifact(target), content=b'{"classes": ["hockey", "space", "med"]}', trust_env=False)
    stored.raise_for_status()
    target.mlflow("POST", "registered-models/create", name=LETTERS)
    target.mlflow("POST", "model-versions/create", name=LETTERS, source=f"runs:/{run_id}/model", run_id=run_id)


def artifact(target: Target) -> str:
    """Where MLflow has the file of the registered model."""
    [run_id] = target.run_id
    info = target.mlflow("GET", f"runs/get?run_id={run_id}")["run"]["info"]
    path = info["artifact_uri"].removeprefix("mlflow-artifacts:/").strip("/")
    return f"{target.url('mlflow')}/api/2.0/mlflow-artifacts/artifacts/{path}/{MODEL_FILE}"
