"""One worker process of the endpoint: polls the ledger, loads what is requested beside what serves, swaps in one step.

A model that cannot be loaded is reported, and the one that serves goes on.
"""

import asyncio
import functools
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.deployment import heartbeat, ledger
from ml_assets.deployment.batcher import Batcher
from ml_assets.deployment.ledger import Deployment
from ml_assets.deployment.predictor import Answer, Outcome, Predictor
from ml_assets.deployment.segments import SegmentWriter
from ml_assets.records import now
from ml_assets.store import ProjectStore, projects
from ml_assets.training import seal

logger = logging.getLogger("ml_assets.endpoint")

POLL_SECONDS = 1.0
RETRY_POLLS = 30
"""After so many polls a model that could not be loaded is tried again."""


@dataclass(frozen=True)
class Live:
    """A model that is loaded, checked and ready to answer."""

    deployment: str
    since: datetime | None
    predictor: Predictor
    batcher: Batcher[Any, Outcome, str, Answer]


@dataclass
class _Project:
    """What this worker knows of one project."""

    version: int | None = None
    deployments: list[Deployment] = field(default_factory=list)
    loaded: dict[str, Live] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    idle_polls: int = 0


class Worker:
    """The models that this process serves.

    Args:
        home: Folder of all local state.
        packaged: Folder of the one model to serve, inside a Bento; the ledger is not read then.
        clock: The current time in UTC.
        folder_of: The model's folder in the Bento with this tag.
    """

    def __init__(
        self, home: Path, packaged: Path | None, folder_of: Callable[[str], Path], clock: Callable[[], datetime] = now
    ):
        self.home, self.packaged, self.clock, self._folder_of = home, packaged, clock, folder_of
        self.live: dict[str, Live] = {}
        self._projects: dict[str, _Project] = {}
        self._segments: dict[str, SegmentWriter] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble: dict[str, str] = {}
        self._executor: Executor = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def start(self) -> None:
        """Load what should serve, then keep up with the ledger until `stop`."""
        if self.packaged is not None:
            await self._load_packaged(self.packaged)
            return
        serving = self.home / "serving"
        heartbeat.forget_dead(serving, self.clock())
        await self._try_to_poll()
        self._beat()
        for loop in (self._keep_polling(), self._keep_beating()):
            task = asyncio.create_task(loop)
            task.add_done_callback(_end_process)
            self._tasks.append(task)

    async def stop(self) -> None:
        """End the background work and take the heartbeat away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        heartbeat.remove(self.home / "serving")
        for writer in self._segments.values():
            writer.close()

    def segments(self, project: str) -> SegmentWriter:
        """This process's segment of the project."""
        return self._segments.setdefault(project, SegmentWriter(self.home / "inference" / project))

    def served(self) -> dict[str, heartbeat.Served]:
        """What the heartbeat says of each project."""
        report = {}
        for name, state in self._projects.items():
            live = self.live.get(name)
            wanted = ledger.wanted_of(state.deployments)
            failed = wanted.id if wanted and wanted.id in state.errors else next(iter(state.errors), None)
            report[name] = heartbeat.Served(
                model=live.predictor.version if live else None,
                deployment=live.deployment if live else None,
                prepared=tuple(state.loaded),
                failed=failed,
                error=state.errors[failed] if failed else None,
            )
        return report

    def fails(self, project: str) -> bool:
        """Whether a model that should serve cannot be loaded; the log and the ledger say why."""
        return project in self._projects and bool(self._projects[project].errors)

    async def poll(self) -> None:
        """Read the ledgers that moved, load what is new, swap what became live. Raises what reading the store raises."""
        for name, version, deployments in await asyncio.to_thread(self._look):
            state = self._projects.setdefault(name, _Project())
            if deployments is not None:
                state.version, state.deployments, state.idle_polls = version, deployments, 0
            else:
                state.idle_polls += 1
                if not state.errors or state.idle_polls % RETRY_POLLS:
                    continue
            await self._follow(name, state)

    def _look(self) -> list[tuple[str, int | None, list[Deployment] | None]]:
        """Each project with the version of its ledger, and its rows if that moved."""
        found: list[tuple[str, int | None, list[Deployment] | None]] = []
        for name in projects():
            store, known = ProjectStore(name), self._projects.get(name, _Project()).version
            version = ledger.version(store)
            if version is not None:
                found.append((name, version, ledger.history(store) if version != known else None))
        return found

    async def _follow(self, name: str, state: _Project) -> None:
        """Make this worker serve what the ledger says of one project."""
        live, wanted = ledger.live_of(state.deployments), ledger.wanted_of(state.deployments)
        needed = {d.id: d for d in (live, wanted) if d is not None}
        state.errors = {}
        for deployment in needed.values():
            if deployment.id not in state.loaded:
                await self._load(name, state, deployment)
        if live is None:
            self.live.pop(name, None)
        elif live.id in state.loaded and (name not in self.live or self.live[name].deployment != live.id):
            self.live[name] = replace(state.loaded[live.id], since=live.live_at)
            logger.info("%s: serving %s (%s)", name, live.model, live.id)
        kept = needed.keys() | ({self.live[name].deployment} if name in self.live else set())
        state.loaded = {key: value for key, value in state.loaded.items() if key in kept}
        self._beat()

    async def _load(self, name: str, state: _Project, deployment: Deployment) -> None:
        folder = functools.partial(self._folder_of, deployment.bento)
        packed = (ProjectStore(name), deployment.bento, deployment.model)
        [outcome] = await asyncio.gather(self._checked(folder, packed), return_exceptions=True)
        if isinstance(outcome, BaseException):  # whatever a model does to this process is reported
            state.errors[deployment.id] = _sentence(outcome)
            logger.error("%s: cannot load %s (%s): %s", name, deployment.model, deployment.id, state.errors[deployment.id])
        else:
            state.loaded[deployment.id] = self._ready(outcome, deployment.id)

    async def _load_packaged(self, folder: Path) -> None:
        predictor = await self._checked(lambda: folder)
        self.live[predictor.project] = self._ready(predictor, "packaged")

    async def _checked(self, folder: Callable[[], Path], packed: tuple[ProjectStore, str, str] | None = None) -> Predictor:
        """Load beside what serves, then check in the thread of the models: an encoder is not to be used by two at once."""

        def load() -> Predictor:
            return Predictor.load(folder(), self.segments, self.clock, seal.of_bento(*packed) if packed else None)

        predictor = await asyncio.to_thread(load)
        await asyncio.get_running_loop().run_in_executor(self._executor, predictor.model.check_examples)
        if packed:
            await asyncio.to_thread(self._note, *packed, folder())
        return predictor

    def _note(self, store: ProjectStore, bento: str, model: str, folder: Path) -> None:
        """Write down what an older Bento holds, now that it has been checked; the next worker to load it tries again."""
        try:
            seal.note_bento(store, bento, model, folder)
            self._say(f"note the files of {bento}", "")
        except (OSError, ValueError, RuntimeError) as error:
            self._say(f"note the files of {bento}", _sentence(error))

    def _ready(self, predictor: Predictor, deployment: str) -> Live:
        return Live(deployment, None, predictor, Batcher(predictor.run, predictor.settle, self._executor))

    def _beat(self) -> None:
        if self.packaged is None:
            try:
                heartbeat.write(self.home / "serving", self.clock(), self.served())
                self._say("write what serves", "")
            except OSError as error:  # such as a full disk: what serves goes on
                self._say("write what serves", _sentence(error))

    async def _try_to_poll(self) -> None:
        try:
            await self.poll()
            self._say("read the deployment ledger", "")
        except (OSError, ValueError, RuntimeError) as error:  # the store cannot be reached: what serves goes on
            self._say("read the deployment ledger", _sentence(error))

    def _say(self, what: str, trouble: str) -> None:
        """Log what cannot be done, once as long as the reason is the same; nothing when it can be done (again)."""
        if trouble and self._trouble.get(what) != trouble:
            logger.error("cannot %s: %s", what, trouble)
        self._trouble[what] = trouble

    async def _keep_polling(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._try_to_poll()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._beat()


def _sentence(error: BaseException) -> str:
    """The first line of the message, with the kind of error where the message alone says little."""
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, ValueError) and first else f"{type(error).__name__}: {first}"


def _end_process(task: "asyncio.Task[None]") -> None:
    """A worker that no longer follows the ledger must not go on in silence: it ends, and its supervisor starts another."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("a background task of the endpoint ended: %s", _sentence(error))
        os.kill(os.getpid(), signal.SIGTERM)
