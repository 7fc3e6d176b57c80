"""A home with one deployed model, and its endpoint under the real supervisor: what the rounds with a real endpoint share."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from deployment.serving import CLASSES, PROJECT, make_model
from installation import SERVICES, free_port

from ml_assets.deployment import bento, heartbeat, keys
from ml_assets.deployment.rollout import deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.services import processes, supervisor
from ml_assets.services.state import State
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

from . import acknowledged

SMALL = Path(__file__).with_name("small_segments")
"""A folder that makes every process whose path it leads write segments of a few kilobytes."""
SEGMENT_BYTES = 2_000
BACK_SECONDS = 120.0
"""How long all workers may take to come back after a kill."""


@dataclass(frozen=True)
class Served:
    """A running endpoint.

    Args:
        home: Its state.
        url: Where it answers.
        secret: A key that may do everything in the project.
        store: The project's tables.
        classes: Those of the project.
    """

    home: Path
    url: str
    secret: str
    store: ProjectStore
    classes: tuple[str, ...] = CLASSES

    def workers(self) -> list[int]:
        """The processes that answer."""
        return [report.pid for report in heartbeat.live(self.home / "serving", now())]

    def master(self) -> int:
        """The process that the supervisor started."""
        state = State.read()
        return state.services["endpoint"].pid if state else 0

    def kill(self, victim: str, which: float) -> str:
        """SIGKILL `worker`, `workers` (all) or `master`; what was killed, in words, empty if there was nothing."""
        chosen = {"worker": self.workers, "workers": self.workers, "master": lambda: [self.master()]}[victim]()
        if victim == "worker" and chosen:
            chosen = [chosen[int(which * len(chosen))]]
        ours = {process.pid for process in processes.of_home(folder=self.home)}
        for pid in (hit := [pid for pid in chosen if pid in ours]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return ", ".join(str(pid) for pid in hit)

    def back(self, count: int, seconds: float = BACK_SECONDS) -> bool:
        """Wait until so many workers answer."""
        return waited(lambda: len(self.workers()) >= count, seconds)


def waited(holds: Callable[[], object], seconds: float) -> bool:
    """Ask again until it holds or time runs out; whether it did."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def up() -> None:
    """Start the endpoint, or do nothing if it runs: as a command, because the supervisor compares how it was started."""
    subprocess.run([sys.executable, "-m", "faults.client", "up", "endpoint"], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def variables(values: dict[str, str]) -> Iterator[None]:
    """The process has these variables as long as the block lasts."""
    before = dict(os.environ)
    os.environ.update(values)
    for name in ("BENTOML_HOME", "ML_ASSETS_STORE", "ML_ASSETS_API_KEY"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def served(folder: Path, more: dict[str, str] | None = None) -> Iterator[Served]:
    """An endpoint with small segments on a home in `folder`; its processes are gone afterwards."""
    home = folder / "home"
    ports = {f"ML_ASSETS_{name.upper()}_PORT": str(free_port()) for name in SERVICES}
    ours = [str(SMALL), str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    path = os.pathsep.join(filter(None, [*ours, os.environ.get("PYTHONPATH")]))
    own = {"ML_ASSETS_HOME": str(home), "PYTHONPATH": path, "FAULTS_SEGMENT_BYTES": str(SEGMENT_BYTES)}
    with variables({**ports, **own, **(more or {})}):
        home.mkdir(parents=True, exist_ok=True)
        model = make_model(folder / "model", f"{PROJECT}-1", 1)
        limits = DeploymentSettings(requests_per_minute=1_000_000)
        built = bento.build(model, PROJECT, f"{PROJECT}-1", limits, SingleChoice(classes=CLASSES))
        try:
            up()
            store = ProjectStore(PROJECT)
            deploy(store, f"{PROJECT}-1", built.tag, "a test", 120, now(), lambda _: None)
            secret = keys.add(PROJECT, keys.SCOPES, acknowledged.NAME, now())
            yield Served(home, url("endpoint"), secret, store)
        finally:
            supervisor.down()


if __name__ == "__main__":  # `python -m faults.served FOLDER`: one to look at by hand
    with served(Path(sys.argv[1])) as one:
        print(json.dumps({"url": one.url, "secret": one.secret, "workers": one.workers(), "master": one.master()}))
        psutil.Process(one.master()).wait()
