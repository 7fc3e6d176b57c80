"""The supervisor process, which starts the servers in order, writes and rotates their logs, and restarts those that die.

Runs as `python -m ml_assets.services.watch SERVICE…`, detached from any terminal; `supervisor.up` starts it, SIGTERM ends it.
"""

import asyncio
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from ml_assets.network import listeners
from ml_assets.services import processes
from ml_assets.services.catalogue import QUIET, Server, servers
from ml_assets.services.probe import problem
from ml_assets.services.state import ServiceState, State
from ml_assets.state.home import home, port
from ml_assets.state.private import keep_private, temporary_folder
from ml_assets.state.surroundings import inherited, spare_loopback

STARTS, WITHIN = 5, 300.0
"""A server that was started this often within so many seconds is not restarted for a while."""
PAUSES = (20.0, 60.0, 120.0, 300.0)
"""Seconds of this pause: the first, the second, and so on. Afterwards it is tried again, as the cause may be gone."""
FIRST_STARTS = 2
"""Starts after which a server that was never ready is given up: it would probably fail again, and the user waits."""
LOOK_SECONDS, MISSED = 2.0, 2
"""Seconds between checks of a server's parts, and how many checks in a row must miss one: two, as one check may come
between two processes that replace each other."""
FULL, KEPT = 10_000_000, 3
"""A log of this many bytes is rotated; so many older ones are kept."""


def main() -> None:
    """Watch the servers named on the command line until SIGTERM."""
    keep_private()
    chosen = [server for name, server in servers().items() if name in sys.argv[1:]]
    spare_loopback()
    # the servers put private files there, such as sockets and parts of data
    temporary = os.environ["TMPDIR"] = str(temporary_folder())
    try:
        asyncio.run(_watch(chosen))
    finally:
        # a server's children may live in sessions of their own; whatever is left goes too
        me = os.getpid()
        processes.end(lambda: [process for process in processes.of_home() if process.pid != me])
        shutil.rmtree(temporary, ignore_errors=True)


async def _watch(chosen: list[Server]) -> None:
    from circus.arbiter import Arbiter
    from tornado.ioloop import IOLoop

    state = State.begin(chosen)
    watched = [_Watched(server, state) for server in chosen]
    arbiter = Arbiter(
        [each.watcher for each in watched],
        # circus obeys anybody who can reach these endpoints; inside the process nobody else can
        endpoint="inproc://control",
        pubsub_endpoint="inproc://events",
        check_delay=0.5,
        loop=IOLoop.current(),
    )
    await arbiter.start()
    ready = {each.server.name: asyncio.Event() for each in watched}
    starting = [asyncio.create_task(each.start(arbiter, ready)) for each in watched]
    while arbiter.running:
        for task in starting:
            if task.done():
                task.result()  # an error in it ends the supervisor instead of passing unseen
        for each in watched:
            rotate(each.log)
            each.mend()
            if each.is_due():
                starting.append(asyncio.create_task(each.start(arbiter, ready)))
        state.restore()
        await asyncio.sleep(0.2)
    for task in starting:
        task.cancel()


class _Watched:
    """One server that circus runs: its watcher, its log, and its entry in the state file."""

    def __init__(self, server: Server, state: State):
        from circus.watcher import Watcher

        self.server, self.state = server, state
        self.started: list[float] = []
        self.was_ready = False
        self.pauses, self.again_at = 0, math.inf
        self.looked, self.was_whole, self.missed = 0.0, 0, 0
        self.log = home() / "logs" / f"{server.name}.log"
        self.watcher = Watcher(
            server.name,
            # Straight into the file. Pipes to this process would break with it, and circus (0.19) cannot start a server again
            # whose children still hold the old pipe ("fd added twice")
            "/bin/sh",
            args=["-c", 'log=$1; shift; exec "$@" >> "$log" 2>&1', "sh", str(self.log), *server.command],
            env={
                **QUIET,
                **inherited(server.runs_projects, os.environ),
                **server.environment(),
                **processes.mark(server.name),
            },
            working_dir=str(home()),
            copy_env=False,
            graceful_timeout=15,
            autostart=False,
            hooks={"before_spawn": (self._may_start, False), "after_spawn": (self._note_start, False)},
        )

    async def start(self, arbiter: Any, ready: dict[str, asyncio.Event]) -> None:
        """Start the server after those that it needs, and wait until it is ready."""
        for name in self.server.needs:
            if name in ready:
                await ready[name].wait()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self.server.prepare)
        except (OSError, ValueError) as error:  # such as a damaged file: the other servers go on
            self._note("failed", str(error))
            return
        self._note("starting")
        self.watcher.autostart = True  # it was off so that the arbiter did not start it before those that it needs
        await arbiter.start_watcher(self.watcher)
        while not self.watcher.is_stopped():
            pid = self.state.services[self.server.name].pid
            if await loop.run_in_executor(None, problem, self.server, pid) is None:
                self.was_ready, self.was_whole = True, pid
                self.server.first_ready()
                self._note("ready")
                ready[self.server.name].set()
                return
            await asyncio.sleep(0.2)

    def is_due(self) -> bool:
        """Whether the pause after too many starts has just ended; returns True only once, and resets the count of starts."""
        if time.monotonic() < self.again_at:
            return False
        self.started, self.again_at = [], math.inf
        return True

    def mend(self) -> None:
        """Kill the server, so that circus restarts it, if one of its child processes (`parts`) is missing."""
        now = time.monotonic()
        if not self.server.parts or not self.was_ready or now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        try:
            process = psutil.Process(self.state.services[self.server.name].pid)
            lines = [" ".join(each.cmdline()) for each in process.children(recursive=True)]
        except psutil.NoSuchProcess:  # circus sees that by itself
            return
        if all(any(part in line for line in lines) for part in self.server.parts):
            self.was_whole, self.missed = process.pid, 0
        elif self.was_whole == process.pid:  # else it is still starting
            self.missed += 1
            if self.missed == MISSED:
                process.kill()

    def _may_start(self, **_: Any) -> bool:
        """Prepare a start: end processes left by the last one; return False if it died too often or cannot start."""
        now = time.monotonic()
        limit = STARTS if self.was_ready else FIRST_STARTS
        lately = [at for at in self.started if now - at < WITHIN]
        if len(lately) >= limit:
            reason = f"it ended {len(lately)} times within {now - lately[0]:.0f} s"
            if self.was_ready:
                pause = PAUSES[min(self.pauses, len(PAUSES) - 1)]
                self.pauses, self.again_at = self.pauses + 1, now + pause
                reason += f": the next try is in {pause:g} s"
            self._note("failed", reason)
            return False
        self.started = [*lately, now]
        processes.end(lambda: processes.of_home(self.server.name))
        if (user := listeners.holder(port(self.server.name))) is not None:
            # taken while it was down; one of the servers would quietly listen elsewhere
            self._note("failed", f"port {port(self.server.name)} was taken by another program of user id {user}")
            return False
        if lately:  # the first start was prepared for; what it left when it was cut short may have to go
            try:
                self.server.prepare()
            except (OSError, ValueError) as error:
                self._note("failed", str(error))
                return False
        return True

    def _note_start(self, pid: int, **_: Any) -> bool:
        service = self.state.services[self.server.name]
        self.state.services[self.server.name] = ServiceState(service.state, pid, service.starts + 1)
        self.state.write()
        return True

    def _note(self, word: str, reason: str = "") -> None:
        service = self.state.services[self.server.name]
        self.state.services[self.server.name] = ServiceState(word, service.pid, service.starts, reason)
        self.state.write()


def rotate(log: Path, full: int = FULL) -> None:
    """Rotate a full log to `<name>.1` … `<name>.3`; it is copied and truncated, not renamed, as its server keeps it open."""
    if not log.exists() or log.stat().st_size < full:
        return
    for number in range(KEPT, 1, -1):
        if (older := log.with_name(f"{log.name}.{number - 1}")).exists():
            os.replace(older, log.with_name(f"{log.name}.{number}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


if __name__ == "__main__":
    main()
