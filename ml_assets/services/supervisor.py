"""Starts, stops and checks the servers of this home: `up`, `down` and `status`."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from ml_assets.errors import MLAssetsError
from ml_assets.services import processes
from ml_assets.services.catalogue import QUIET, Server, servers
from ml_assets.services.probe import problem
from ml_assets.services.state import State, settings
from ml_assets.state.home import home, port
from ml_assets.state.private import make_private_home
from ml_assets.state.processes import alive

Progress = Callable[[str, str, float], None]
"""Called as (service, `waiting` | `starting` | `ready`, seconds since the beginning) whenever a server's state changes."""


class ServiceError(MLAssetsError, RuntimeError):
    """A server cannot start or does not answer; the message is one sentence."""


@dataclass(frozen=True)
class Status:
    """The current status of one server.

    Args:
        url: Its base address.
        ready: Whether it answers now.
        pid: Its main process; None if it does not run or is an existing server.
        problem: What is wrong, in a few words, when it is not ready.
    """

    url: str
    ready: bool
    pid: int | None = None
    problem: str | None = None


def up(on_progress: Progress | None = None, only: Collection[str] | None = None, seconds: float = 300) -> dict[str, Status]:
    """Start the servers and wait until all are ready; those that run with unchanged settings are not restarted.

    Args:
        on_progress: Called whenever a server's state changes.
        only: Names of the servers to start, by default all.
        seconds: Time limit. When it passes, or a server fails, everything that was started is ended.

    Raises:
        ServiceError: A port that is taken, a server that does not start, or an existing server that does not answer.
    """
    catalogue = servers()
    if unknown := sorted(set(only or ()) - set(catalogue)):
        raise ServiceError(f"unknown service {unknown[0]!r}: choose from {', '.join(catalogue)}")
    chosen = {name: server for name, server in catalogue.items() if only is None or name in only}
    for name, server in chosen.items():
        if not server.command and (wrong := problem(server, seconds=10)):
            raise ServiceError(f"{name} at {server.url} is not ready: {wrong}")

    (make_private_home() / "logs").mkdir(exist_ok=True)
    with FileLock(home() / "up.lock"):  # of two at once, the second finds the servers up
        state = State.read()
        running = set(state.services) if state and state.supervisor() else set()
        own = [server for name, server in catalogue.items() if server.command and (name in chosen or name in running)]
        if not (state and running and state.settings == settings(own) and not _failed(state)):
            processes.end(processes.of_home)
            _refuse_taken_ports(own)
            _start_supervisor(own)
        try:
            _wait(own, on_progress or (lambda service, state, seconds: None), seconds)
        except BaseException:  # Ctrl-C too: what does not come up whole does not stay up
            down()
            raise
    return {name: now for name, now in status().items() if name in chosen}


def refuse_taken_ports() -> None:
    """Raise `ServiceError` if `up` could not start the servers because another program uses one of their ports."""
    if not processes.of_home():
        _refuse_taken_ports([server for server in servers().values() if server.command])


def down() -> None:
    """End every process of this home's servers, and no other, even if their supervisor has died."""
    state = State.read()
    if state and (supervisor := state.supervisor()):
        # it ends its servers in good order; what it leaves behind is ended below
        processes.end(lambda: [supervisor] if alive(supervisor) else [], seconds=25)
    processes.end(processes.of_home)


def status() -> dict[str, Status]:
    """Check all servers in parallel, in about 2 seconds at most; return the status of each by name."""
    catalogue, state = servers(), State.read()
    with ThreadPoolExecutor(len(catalogue)) as pool:
        return dict(zip(catalogue, pool.map(lambda server: _status(server, state), catalogue.values()), strict=True))


def _status(server: Server, state: State | None) -> Status:
    if not server.command:
        return Status(server.url, (wrong := problem(server)) is None, problem=wrong)
    service = state.services.get(server.name) if state else None
    if service is None or not _is_ours(service.pid, server.name):
        # if anything answers at its port, it is not our server
        return Status(server.url, False, problem=(service and service.reason) or "not running")
    return Status(server.url, (wrong := problem(server, service.pid)) is None, service.pid, wrong)


def _is_ours(pid: int, service: str) -> bool:
    try:
        process = psutil.Process(pid)
    except (psutil.NoSuchProcess, ValueError):
        return False
    return alive(process) and processes.mark(service).items() <= processes.environment(process).items()


def _refuse_taken_ports(own: list[Server]) -> None:
    names: dict[int, str] = {}
    for server in own:
        number, variable = port(server.name), f"ML_ASSETS_{server.name.upper()}_PORT"
        if (other := names.setdefault(number, server.name)) != server.name:
            raise ServiceError(f"port {number} is set for both {other} and {server.name}: set {variable} to another")
        with socket.socket() as asking, socket.socket() as binding:
            asking.settimeout(1)
            # as the servers do it: a port whose last connections are still closing counts as free
            binding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken = asking.connect_ex(("127.0.0.1", number)) == 0
            try:
                binding.bind(("127.0.0.1", number))
            except OSError:
                taken = True
        if taken:
            raise ServiceError(f"port {number} for {server.name} is taken by another program: end that, or set {variable}")


def _start_supervisor(own: list[Server]) -> None:
    with (home() / "logs" / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "ml_assets.services.watch", *(server.name for server in own)],
            env={**QUIET, **os.environ, "ML_ASSETS_HOME": str(home()), **processes.mark("supervisor")},
            cwd=home(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C and a closed terminal do not reach it
        )


def _wait(own: list[Server], on_progress: Progress, seconds: float) -> None:
    began, reported = time.monotonic(), dict[str, str]()
    wanted = settings(own)
    while True:
        elapsed = time.monotonic() - began
        state = State.read()
        fresh = state if state and state.settings == wanted and state.supervisor() else None
        services = fresh.services if fresh else {}
        for name, service in services.items():
            if reported.get(name) != service.state:
                reported[name] = service.state
                if service.state != "failed":
                    on_progress(name, service.state, elapsed)
        if fresh and (failed := _failed(fresh)):
            raise ServiceError(_sentence(failed, services[failed].reason))
        slow = [name for name, service in services.items() if service.state != "ready"] if fresh else ["supervisor"]
        if not slow:
            # one that was ready once may have died since
            with ThreadPoolExecutor(len(own)) as pool:
                wrong = pool.map(problem, own, [services[server.name].pid for server in own])
                slow = [server.name for server, reason in zip(own, wrong, strict=True) if reason]
            if not slow:
                return
        if reported and not fresh:
            raise ServiceError(
                "the supervisor ended while the servers were starting: did `ml-assets down` run at the same time?"
            )
        if not fresh and elapsed > 30:  # on a busy machine Python alone takes many seconds to start
            raise ServiceError(_sentence("supervisor", "it does not run"))
        if elapsed > seconds:
            raise ServiceError(_sentence(slow[0], f"not ready within {seconds:g} s"))
        time.sleep(0.1)


def _failed(state: State) -> str | None:
    return next((name for name, service in state.services.items() if service.state == "failed"), None)


def _sentence(service: str, reason: str) -> str:
    log = home() / "logs" / f"{service}.log"
    return f"{service} does not start: {reason}; its log {log} says {_last_words(log)!r}"


def _last_words(log: Path) -> str:
    """The last line of a log that names an error, or else the last line, cut to 300 characters."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        text = re.sub(r"\x1b\[[0-9;]*m", "", file.read().decode(errors="replace"))
    lines = [line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()]
    return next((line for line in lines[:40] if re.search(r"(Error|Exception)\b", line)), lines[0] if lines else "nothing")
