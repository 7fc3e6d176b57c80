"""One worker process of the endpoint: polls the deployment ledger, loads requested models, and switches in one step.

A model that cannot be loaded is reported, and the current one keeps serving.
"""

import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ml_assets.deployment import heartbeat
from ml_assets.deployment.batcher import Batcher
from ml_assets.deployment.predictor import Answer, Outcome, Predictor, Sample
from ml_assets.deployment.turns import SharedThreads
from ml_assets.spool.writer import SegmentWriter
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore, ledger, projects
from ml_assets.store.ledger import Deployment
from ml_assets.training import seal

logger = logging.getLogger("ml_assets.endpoint")

R = TypeVar("R")

POLL_SECONDS = 1.0
SWITCH_SECONDS = 0.0005
"""How long a thread of a worker keeps the interpreter while others want it."""
RETRY_POLLS = 30
"""Number of polls after which a model that could not be loaded is tried again."""


@dataclass(frozen=True)
class Live:
    """A model that is loaded, checked and ready to predict."""

    deployment: str
    since: datetime | None
    predictor: Predictor
    batcher: Batcher[Sample, Outcome, str, Answer]


@dataclass
class _Project:
    """The state of one project in this worker."""

    version: int | None = None
    deployments: list[Deployment] = field(default_factory=list)
    loaded: dict[str, Live] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    idle_polls: int = 0


class Worker:
    """The models that this process serves, and the threads in which it works.

    Args:
        home: Folder of all local state.
        packaged: Folder of the one model to serve, inside a Bento; the ledger is not read then.
        clock: Returns the current time in UTC.
        folder_of: Returns the model's folder in the Bento with a tag.
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
        self._models = SharedThreads("model")
        cores = max(2, os.cpu_count() or 1)
        self._decoders = SharedThreads("decode", cores, of_one=cores - 1, niceness=5)
        self._files = SharedThreads("files", 8, of_one=4)

    async def start(self) -> None:
        """Load what should serve, then keep up with the ledger until `stop`."""
        sys.setswitchinterval(SWITCH_SECONDS)  # 5 ms by default, and a request passes from thread to thread
        if self.packaged is not None:
            await self._load_packaged(self.packaged)
            return
        await self._trying("look for reports of other workers", self._forget_dead())
        await self._try_to_poll()
        await self._beat()
        for loop in (self._keep_polling(), self._keep_beating()):
            task = asyncio.create_task(loop)
            task.add_done_callback(_end_process)
            self._tasks.append(task)

    async def stop(self) -> None:
        """End the background work and delete the heartbeat file."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        heartbeat.remove(self.home / "serving")
        for threads in (self._decoders, self._models, self._files):
            await asyncio.to_thread(threads.shutdown)
        for writer in self._segments.values():
            writer.close()

    async def decode(self, project: str, key: str, work: Callable[..., R], *arguments: Any) -> R:
        """Run one bounded piece of work for this project and key in the decoding threads, when it is its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders.of(project, key), work, *arguments)

    async def files(self, project: str, key: str, work: Callable[..., R], *arguments: Any) -> R:
        """Run work that reads or writes files for this project and key in the file threads, when it is its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._files.of(project, key), work, *arguments)

    def segments(self, project: str) -> SegmentWriter:
        """This process's writer of inference records of the project."""
        return self._segments.setdefault(project, SegmentWriter(self.home / "inference" / project))

    def served(self) -> dict[str, heartbeat.Served]:
        """What this worker serves of each project, for the heartbeat."""
        report = {}
        for name, state in self._projects.items():
            if state.version is None:  # not a project, or never deployed
                continue
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
        """Whether a model of the project that should serve cannot be loaded; the log and the ledger say why."""
        return project in self._projects and bool(self._projects[project].errors)

    async def poll(self) -> None:
        """Follow the deployment ledgers that changed: load new models, and switch to those that became live.

        A project whose ledger cannot be read keeps serving, and so do all others. Raises what listing the projects raises.
        """
        for name in await self.files("", "", projects):
            await self._trying(f"follow the deployment ledger of {name}", self._look_after(name))

    async def _look_after(self, name: str) -> None:
        """Follow one project's ledger, if it changed or a failed model should be tried again."""
        state = self._projects.setdefault(name, _Project())
        version, deployments = await self.files("", "", _moved, name, state.version)
        if version is None:
            return
        if deployments is not None:
            state.version, state.deployments, state.idle_polls = version, deployments, 0
        else:
            state.idle_polls += 1
            if not state.errors or state.idle_polls % RETRY_POLLS:
                return
        await self._follow(name, state)

    async def _follow(self, name: str, state: _Project) -> None:
        """Make this worker serve the live deployment of one project, and load the requested one."""
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
        await self._beat()

    async def _load(self, name: str, state: _Project, deployment: Deployment) -> None:
        folder = functools.partial(self._folder_of, deployment.bento)
        packed = (ProjectStore(name), deployment.bento, deployment.model)
        [outcome] = await asyncio.gather(self._checked(folder, packed), return_exceptions=True)
        if isinstance(outcome, BaseException):  # report any error that loading a model raises
            state.errors[deployment.id] = _sentence(outcome)
            logger.error("%s: cannot load %s (%s): %s", name, deployment.model, deployment.id, state.errors[deployment.id])
        else:
            state.loaded[deployment.id] = self._ready(outcome, deployment.id)

    async def _load_packaged(self, folder: Path) -> None:
        predictor = await self._checked(lambda: folder)
        self.live[predictor.project] = self._ready(predictor, "packaged")

    async def _checked(self, folder: Callable[[], Path], packed: tuple[ProjectStore, str, str] | None = None) -> Predictor:
        """Load a model beside the current one, then run its self-check in the thread of the models.

        Two threads must not use an encoder at the same time.
        """

        def load() -> Predictor:
            return Predictor.load(folder(), self.segments, self.clock, seal.of_bento(*packed) if packed else None)

        predictor = await asyncio.to_thread(load)
        models = self._models.of(predictor.project)
        await asyncio.get_running_loop().run_in_executor(models, predictor.model.check_examples)
        if packed:
            store, bento, model = packed
            # for older Bentos without recorded files; if this fails, the next worker that loads it tries again
            await self._trying(
                f"note the files of {bento}", asyncio.to_thread(seal.record_bento, store, bento, model, folder())
            )
        return predictor

    def _ready(self, predictor: Predictor, deployment: str) -> Live:
        project = predictor.project
        batcher = Batcher(
            predictor.run,
            predictor.settle,
            self._models.of(project),
            weigh=lambda sample: sample.weight,
            hurried=lambda: self._models.wanted_by_others(project),
        )
        return Live(deployment, None, predictor, batcher)

    async def _beat(self) -> None:
        if self.packaged is None:
            write = self.files("", "", heartbeat.write, self.home / "serving", self.clock(), self.served())
            await self._trying("write what serves", write)

    async def _forget_dead(self) -> None:
        for path in await self.files("", "", heartbeat.forget_dead, self.home / "serving", self.clock()):
            logger.warning("the report of a worker was damaged and is put aside as %s", path)

    async def _try_to_poll(self) -> None:
        await self._trying("read the deployment ledger", self.poll())

    async def _trying(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Run this, or log why it failed, once while the reason stays the same; the worker keeps serving."""
        # damaged tables can raise any exception
        outcomes: tuple[BaseException | None, ...] = await asyncio.gather(work, return_exceptions=True)
        trouble = "" if outcomes[0] is None else _sentence(outcomes[0])
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
            await self._beat()


def _moved(name: str, known: int | None) -> tuple[int | None, list[Deployment] | None]:
    """The version of a project's ledger (None if it has none), and its rows if the version is not the known one."""
    store = ProjectStore(name)
    version = ledger.version(store)
    return version, ledger.history(store) if version is not None and version != known else None


def _sentence(error: BaseException) -> str:
    """The first line of the error's message, with the error's type if the message alone says little."""
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, ValueError) and first else f"{type(error).__name__}: {first}"


def _end_process(task: "asyncio.Task[None]") -> None:
    """End the process when a background task fails, so that the supervisor starts a new worker."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("a background task of the endpoint ended: %s", _sentence(error))
        os.kill(os.getpid(), signal.SIGTERM)
