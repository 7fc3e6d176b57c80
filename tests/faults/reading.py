"""The commands and servers that read a home, in a process of its own that was forked ready: each says what came of it.

A fork instead of a new process, because the imports take 20 times as long as the reading. Nothing in the parent may use Lance,
torch or Dagster, whose threads a fork does not take along; importing them is all it does.
"""

import contextlib
import importlib
import io
import json
import os
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ml_assets import settings
from ml_assets.modalities import Text

from . import checkpoints, project
from .acknowledged import look
from .homes import BESIDE, CLASSES_OF, Home

SECONDS = 90.0
"""How long the readers may take together; what takes longer hangs."""
IMPORTED = (
    "ml_assets.cli", "ml_assets.commands.status", "ml_assets.commands.trace", "ml_assets.definitions",
    "ml_assets.commands.runner", "ml_assets.services.supervisor", "ml_assets.deployment.endpoint",
    "ml_assets.visualization.explorer",
    "ml_assets.training.journal", "ml_assets.training.trained_model", "ml_assets.training.tracking",
    "lance", "torch", "optuna", "starlette.testclient", "pandas",
    "sentence_transformers", "transformers", "great_expectations", "alembic.command", "sqlalchemy.dialects.sqlite",
    "lightning", "boto3",
    "ml_assets.commands.run", "dagster._daemon", "dagster._core.storage.sqlite_storage", "dagster._core.workspace.load",
    "dagster._core.execution.execute_in_process", "dagster._core.instance.factory", "ml_assets.collection.expectations",
)  # fmt: skip
FAULTS_PROJECT = project.NAME
TRAINING = "training"


@dataclass
class Said:
    """What one reader did.

    Args:
        value: What it returned, if it did.
        sentence: What it said instead, if that was an error that it expects.
        trace: The end of the traceback of any other error.
        seconds: How long it took.
    """

    value: Any = None
    sentence: str = ""
    trace: str = ""
    seconds: float = 0.0


@dataclass
class Reading:
    """What all readers did, by name; `hung` names the one that did not end."""

    said: dict[str, Said] = field(default_factory=dict)
    hung: str = ""
    died: str = ""


def prepare() -> None:
    """Import what the readers need, once, before the first fork."""
    warnings.filterwarnings("ignore", message="lance is not fork-safe")
    for name in IMPORTED:
        importlib.import_module(name)
    torch.set_num_threads(1)  # before its threads exist
    Text().encoder("minilm").pieces(["a text"])  # which loads the weights


def read(home: Home, only: Callable[[str], bool] = lambda name: True) -> Reading:
    """Run the readers in a forked process, one after the other."""
    seeing, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(seeing)
        code = 1
        try:
            _child(home, telling, only)
            code = 0
        finally:
            os._exit(code)
    os.close(telling)
    return _heard(child, seeing)


def _heard(child: int, seeing: int) -> Reading:
    reading, deadline, begun, buffer = Reading(), time.monotonic() + SECONDS, "", b""
    with os.fdopen(seeing, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                reading.hung = begun
                os.kill(child, signal.SIGKILL)
                break
            part = pipe.read(1 << 16)
            if not part:
                break
            *lines, buffer = (buffer + part).split(b"\n")
            for name, said in map(json.loads, lines):
                begun = name
                if said is not None:
                    reading.said[name] = Said(**said)
    _, status = os.waitpid(child, 0)
    if status and not reading.hung:
        reading.died = f"{begun}: the process ended with {os.waitstatus_to_exitcode(status)}"
    return reading


def _child(home: Home, telling: int, only: Callable[[str], bool]) -> None:
    os.environ.clear()
    os.environ.update(home.environment)
    settings.DEFS = Path(home.environment["ML_ASSETS_DEFS"])
    log = os.open(home.folder.parent / "readers.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name, reader in READERS.items():
        if only(name):
            _tell(telling, name, None)
            _tell(telling, name, _said(lambda reader=reader: reader(home)))


def _tell(telling: int, name: str, said: Said | None) -> None:
    content = json.dumps([name, said and vars(said)], default=str).encode() + b"\n"
    while content:
        content = content[os.write(telling, content) :]


def _said(reader: Callable[[], Any]) -> Said:
    from ml_assets.cli import _expected

    began, said = time.monotonic(), Said()
    try:
        said.value = reader()
    except SystemExit as error:
        said.value = {"exit": error.code}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told; Lance's panics are none of Exception
        if isinstance(error, Exception) and _expected(error):
            said.sentence = f"{type(error).__name__}: {error}"
        else:
            said.trace = traceback.format_exc()[-1500:]
    said.seconds = time.monotonic() - began
    return said


# ---- the readers ----


def _command(*arguments: str) -> Callable[[Home], Any]:
    """A command of `ml-assets`, its JSON."""

    def run(home: Home) -> Any:
        from ml_assets.cli import app

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = app([*arguments, "--json"], standalone_mode=False)
        try:
            return json.loads(out.getvalue())
        except ValueError:
            return {"exit": code, "out": out.getvalue()}

    return run


def _trace(name: str) -> Callable[[Home], Any]:
    def run(home: Home) -> Any:
        newest = list(home.known[name].predictions)[-1]
        return {"found": _command("trace", newest)(home)["prediction"]["id"] == newest}

    return run


def _kept(name: str) -> Callable[[Home], Any]:
    def run(home: Home) -> Any:
        from ml_assets.state.clock import now
        from ml_assets.store import ProjectStore

        kept = look(ProjectStore(name), home.known[name], CLASSES_OF[name], now())
        return vars(kept)

    return run


def _endpoint(home: Home) -> Any:
    """A worker that starts on this home: what it answers to each application."""
    from starlette.testclient import TestClient

    from ml_assets.deployment.endpoint import create_app

    answers = {}
    with TestClient(create_app(), base_url="http://127.0.0.1", raise_server_exceptions=True) as client:
        for name, secret in home.secrets.items():
            sent = {"headers": {"Authorization": f"Bearer {secret}"}}
            made = client.post(f"/{name}/predict", json={"samples": ["one text"]}, **sent)
            pushed = client.post(f"/{name}/samples", json={"samples": [f"one text for {name}"]}, **sent)
            answers[name] = [made.status_code, pushed.status_code, *([made.json().get("error")] if made.is_error else [])]
    return answers


def _explorer(home: Home) -> Any:
    from starlette.testclient import TestClient

    from ml_assets.visualization.explorer import application

    with TestClient(application(home.folder / "reports"), base_url="http://127.0.0.1") as client:
        return [client.get("/").status_code, client.get(f"/{project.NAME}/").status_code]


def _servers(home: Home) -> Any:
    """What `up` does before it starts each server."""
    from ml_assets.services.catalogue import servers
    from ml_assets.services.supervisor import refuse_taken_ports

    refuse_taken_ports()
    said = {}
    for name, server in servers().items():
        try:
            server.prepare()
            said[name] = "ready to start" if server.environment() is not None else ""
        except (OSError, ValueError) as error:
            said[name] = str(error)
    return said


def _label_studio(home: Home) -> Any:
    from ml_assets.labeling.pull import read_mark
    from ml_assets.store import ProjectStore

    mark = read_mark(ProjectStore(project.NAME))
    return {"mark": mark is not None}


def _journal(home: Home) -> Any:
    from ml_assets.training.journal import Journal

    journal = Journal("st-new", home.folder / "optuna" / project.NAME)
    journal.begin("run")
    return {"run": journal.run_id}


def _key(name: str) -> Callable[[Home], Any]:
    def run(home: Home) -> Any:
        from ml_assets.commands.predict import key

        return {"made": bool(key(name))}

    return run


def _training(home: Home) -> Any:
    """A training that goes on from the checkpoint which another one left."""
    return {"weights": checkpoints.train(home.folder / checkpoints.FILE)}


def _down(home: Home) -> Any:
    from ml_assets.services import supervisor

    supervisor.down()
    return {}


READERS: dict[str, Callable[[Home], Any]] = {
    "status": _command("status"),
    "keys list": _command("keys", "list"),
    "label_studio.json": _label_studio,
    "journal": _journal,
    TRAINING: _training,
    f"trace {project.NAME}": _trace(project.NAME),
    f"trace {BESIDE}": _trace(BESIDE),
    "up": _servers,
    f"run {project.NAME} collection": _command("run", project.NAME, "collection"),
    f"run {BESIDE} collection": _command("run", BESIDE, "collection"),
    "endpoint": _endpoint,
    "explorer": _explorer,
    f"kept {project.NAME}": _kept(project.NAME),
    f"kept {BESIDE}": _kept(BESIDE),
    f"key {project.NAME}": _key(project.NAME),
    f"key {BESIDE}": _key(BESIDE),
    "keys add": _command("keys", "add", BESIDE, "--scope", "predict", "--name", "another"),
    "down": _down,
    "status again": _command("status"),
}
"""Every reader, in the order in which a person would come to it after the machine was switched on again."""
