"""The loop as a person runs it: commands one after the other, each repeated until it succeeds, whatever is killed meanwhile."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installation import SERVICES, free_port

from ml_assets.services import processes
from ml_assets.store import ProjectStore

from . import project, victims
from .schedule import Kill

COMMAND = str(Path(sys.executable).with_name("ml-assets"))
ATTEMPTS = 6
SECONDS = 420.0
"""How long one command may take; the longest that they do by themselves is 300."""
SENSOR_SECONDS = 120.0
AFTER_KILL_SECONDS = 10.0
"""How long the sensor is waited for when something was killed; then the next command goes on without it."""
NEEDED = ("label_studio", "mlflow", "endpoint")
"""The servers that commands call; a small loop starts no others, and waits for no sensor."""
STEPS = ("up", "queue", "annotators", "sensor", "train", "application", "monitor", "down")

_entering = threading.RLock()


class LoopFailed(AssertionError):
    """A step did not succeed, however often it was repeated."""


@dataclass
class Tried:
    """What became of one kill.

    Args:
        killed: The processes, in words; empty if the moment came after the step's end.
        then: What the step did: went on, or was repeated and how often.
    """

    kill: Kill
    killed: str = ""
    then: str = ""


@dataclass
class Installation:
    """A home with its ports and the project's files.

    Args:
        home: All its state.
        folder: What the test itself keeps: logs of commands, what the application asked.
        environment: Variables with which commands reach it.
        small: Whether it has the servers alone that are needed, and one model. Else sensors run too, and the application sends
            labels, so that a second model is trained and replaces the first.
    """

    home: Path
    folder: Path
    environment: dict[str, str]
    small: bool
    tried: list[Tried] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, small: bool) -> "Installation":
        """A new one; ports from the environment where it has them, else free ones."""
        home, defs = folder / "home", folder / "defs"
        project.write(home, defs)
        ports = {f"ML_ASSETS_{name.upper()}_PORT": str(free_port()) for name in SERVICES}
        own = {"ML_ASSETS_HOME": str(home), "ML_ASSETS_DEFS": str(defs), "COLUMNS": "200"}
        ours = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))
        return cls(home, folder, {**ports, **os.environ, **own, "PYTHONPATH": path}, small)

    @property
    def store(self) -> ProjectStore:
        """The project's tables."""
        return ProjectStore(project.NAME, self.home / "store")

    def run(self, kills: list[Kill], say: Callable[[str], None], look: Callable[["Installation"], None]) -> None:
        """The whole loop; `look` is called before the servers are ended. Raises `LoopFailed`."""
        for name in STEPS:
            if name == "sensor" and self.small:
                continue
            if name == "down":
                if not self._ready():  # the last kill may have left a server that is not back yet
                    self._attempt("up", [], [])
                look(self)
            began = time.monotonic()
            self._step(name, [kill for kill in kills if kill.step == name], say)
            self.seconds[name] = time.monotonic() - began

    def _step(self, name: str, kills: list[Kill], say: Callable[[str], None]) -> None:
        """One step, attempted until it succeeds; kills for which an attempt was too short wait for the next."""
        waiting = sorted(kills, key=lambda kill: kill.after)
        for _ in range(ATTEMPTS + len(kills)):
            met: list[Tried] = []
            problem = self._sensor(waiting, met) if name == "sensor" else self._attempt(name, waiting, met)
            if problem is None:
                met += [Tried(kill) for kill in waiting]
                waiting.clear()
            for tried in met:
                tried.then = "went on" if problem is None else f"repeated: {problem}"
                say(f"    {tried.kill}: {tried.killed or 'came too late'}; {tried.then}")
            self.tried += met
            if problem is None:
                return
            if name not in ("up", "down") and not self._ready():
                self._attempt("up", [], [])
        raise LoopFailed(f"{name} did not succeed in {ATTEMPTS + len(kills)} attempts: {problem}")

    def _attempt(self, name: str, waiting: list[Kill], met: list[Tried]) -> str | None:
        """Do the step once, kill when a kill's moment comes; None if it succeeded, else what it said."""
        log = self.folder / f"{len(list(self.folder.glob('*.log'))):02}-{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._command(name), env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
            self._kill_in_time(lambda: process.poll() is not None, process.pid, waiting, met, SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()
                return f"it did not end within {SECONDS:g} s: {_last(log)}"
        said = log.read_text(errors="replace")
        ours = self._command(name)[0] == COMMAND
        if ours and process.returncode > 0 and "Traceback (most recent call last)" in said:
            raise LoopFailed(f"{name} ended with a traceback instead of a sentence: {said[-3000:]}")
        return None if process.returncode == 0 else f"{_last(log)} ({process.returncode})"

    def _kill_in_time(
        self, over: Callable[[], bool], command: int, waiting: list[Kill], met: list[Tried], seconds: float
    ) -> None:
        """Wait until it is over or time runs out; meanwhile kill what is due, which leaves `waiting` for `met`."""
        began = time.monotonic()
        while waiting:
            _wait(over, began + waiting[0].after - time.monotonic())
            if over():
                return
            kill = waiting.pop(0)
            met.append(Tried(kill, victims.kill(kill, self.home, command)))
        _wait(over, began + seconds - time.monotonic())

    def _command(self, name: str) -> list[str]:
        client = [sys.executable, "-m", "faults.client"]
        return {
            "up": [*client, "up", *NEEDED] if self.small else [COMMAND, "up", "--detach"],
            "queue": [COMMAND, "run", project.NAME, "collection", "features", "labeling"],
            "annotators": [*client, "annotators"],
            "application": [*client, "application", str(self.folder / "application"), *([] if self.small else ["labels"])],
            "down": [COMMAND, "down"],
        }.get(name, [COMMAND, "run", project.NAME])

    def _sensor(self, waiting: list[Kill], met: list[Tried]) -> str | None:
        """Wait until a run that the sensor started has brought in what people answered."""
        wanted = project.QUEUE + project.TEST + project.GIVEN

        def there() -> bool:
            tags = self.store.table("dataset").tags()
            return bool(tags) and self.store.table("dataset").read(["id"], tag=tags[-1]).num_rows == wanted

        if waiting:  # what was killed is not waited for: the next command goes on without it
            self._kill_in_time(there, 0, waiting, met, waiting[-1].after + AFTER_KILL_SECONDS)
            return None
        _wait(there, SENSOR_SECONDS)
        return None if there() else f"nothing came in within {SENSOR_SECONDS:g} s"

    def _ready(self) -> bool:
        """What `status` says; it must always work."""
        done = subprocess.run(
            [COMMAND, "status", "--json"], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise LoopFailed(f"status failed: {done.stderr[-2000:]}")
        services = json.loads(done.stdout)["services"]
        return all(services[name]["ready"] for name in (NEEDED if self.small else services))

    def command(self, *arguments: str) -> Any:
        """The JSON of a command that must succeed."""
        done = subprocess.run(
            [COMMAND, *arguments, "--json"], env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise LoopFailed(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process reads the installation's state as the commands do; one installation at a time."""
        with _entering:
            before = dict(os.environ)
            os.environ.update(self.environment)
            try:
                yield
            finally:
                os.environ.clear()
                os.environ.update(before)

    def close(self) -> list[str]:
        """Kill what is left; the command lines of it."""
        left = processes.of_home(folder=self.home)
        lines = [" ".join(p.cmdline()) for p in left]
        for process in left:
            process.kill()
        return lines


def _wait(holds: Callable[[], bool], seconds: float) -> None:
    """Ask again until it holds or time runs out."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if "error" in line.lower() or "✗" in line), lines[-1])[:300]
