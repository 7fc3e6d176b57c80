"""Small real models, and a real endpoint to put them into."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from installation import workers_of

from ml_assets.deployment import bento, keys
from ml_assets.deployment.rollout import deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.modalities import MODALITIES, Text
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.training.architectures import ARCHITECTURES, MLP
from ml_assets.training.trained_model import TrainedModel

PROJECT = "letters"
CLASSES = ("hockey", "space", "med")
TEXTS = ("The goalie saved the last shot.", "A rocket on its way to the moon.", "The doctor prescribed some rest.")


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition holds, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def make_model(folder: Path, version: str, seed: int, project: str = PROJECT) -> Path:
    """A real model on MiniLM embeddings whose head was initialised by chance: it answers, and always the same."""
    import torch

    torch.manual_seed(seed)
    network = MLP(hidden=16).network(Text().encoder("minilm"), len(CLASSES)).eval()
    description = {
        "project": project, "version": version, "modality": "text", "task": "single_choice", "classes": list(CLASSES),
        "encoder": {"name": "minilm", "dimensions": 384}, "architecture": {"type": "mlp", "hidden": 16},
        "dataset": "ds-test", "feature_set": "fs-test", "run_id": "run", "examples": [],
    }  # fmt: skip
    model = TrainedModel(description, network)
    scores = model.predict(TEXTS).scores
    description["examples"] = [{"content": t, "scores": [float(p) for p in row]} for t, row in zip(TEXTS, scores, strict=True)]
    model.save(folder)
    return folder


def serve_new(folder: Path, project: str, modality: Any, architecture: dict[str, Any], task: Task, items: list[Any]) -> str:
    """Put a network that was initialised by chance into production; the secret of a key of its project."""
    built = build_new(folder, project, modality, architecture, task, items)
    deploy(ProjectStore(project), f"{project}-1", built.tag, "a test", 120, now(), lambda _: None)
    return keys.add(project, keys.SCOPES, "the app", now())


def build_new(
    folder: Path,
    project: str,
    modality: Any,
    architecture: dict[str, Any],
    task: Task,
    items: list[Any],
    settings: DeploymentSettings | None = None,
) -> bento.Built:
    """The Bento of a network that was initialised by chance, version `<project>-1`."""
    import torch

    torch.manual_seed(0)
    made, kind = ARCHITECTURES.parse(architecture), MODALITIES.parse(modality)
    encoder = kind.encoder(kind.default_encoder)
    version = f"{project}-1"
    description = {
        "project": project, "version": version, "modality": modality, "task": {"type": task.type},
        "classes": list(task.classes),
        "encoder": {"name": encoder.name, "dimensions": encoder.dimensions}, "architecture": architecture,
        "dataset": "ds-test", "feature_set": "fs-test", "run_id": "run", "examples": [],
    }  # fmt: skip
    model = TrainedModel(description, made.network(encoder, len(task.classes)).eval())
    scores = model.predict(items).scores
    description["examples"] = [
        {"content": kind.to_json(item), "scores": [float(p) for p in row]} for item, row in zip(items, scores, strict=True)
    ]
    model.save(folder)
    return bento.build(folder, project, version, settings, task)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Served:
    """A running endpoint."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    seconds: float

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        return workers_of(self.process.pid)


def serve(log: Path, *arguments: str, launcher: Sequence[str] = ("ml_assets.services.endpoint_server",)) -> Served:
    """Start the endpoint, or what is named, in a process group of its own, and wait until it is ready."""
    start, port = time.monotonic(), free_port()
    command = [sys.executable, "-m", *launcher, *arguments, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=bento.environment(), cwd=log.parent, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/readyz", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(ready, 90)
    except AssertionError:
        end(process)
        raise
    return Served(process, url, log, time.monotonic() - start)


def end(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def records_of(folder: Path) -> list[dict[str, Any]]:
    """The records of all segments in the folder, as they stand there."""
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().split(b"\n") if line]
