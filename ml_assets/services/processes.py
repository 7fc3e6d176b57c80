"""Finds and ends the processes of one home by a mark in their environment, even if their supervisor was killed."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from ml_assets.state.home import home
from ml_assets.state.processes import alive

HOME = "ML_ASSETS_SERVICE_OF"
SERVICE = "ML_ASSETS_SERVICE"


def mark(service: str) -> dict[str, str]:
    """The environment variables that mark a process as part of this home's service; its children inherit them."""
    return {HOME: str(home().resolve()), SERVICE: service}


def of_home(service: str | None = None, folder: Path | None = None) -> list[psutil.Process]:
    """The running processes of this home's servers, or of one of them, except the calling process."""
    whose = str((folder or home()).resolve())
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        variables = environment(process)
        if variables.get(HOME) == whose and service in (None, variables.get(SERVICE)):
            found[process.pid] = process
            # a child may have cleared its environment, but it is still theirs
            found.update((child.pid, child) for child in _children(process))
    found.pop(os.getpid(), None)
    return [process for process in found.values() if alive(process)]


def end(find: Callable[[], Iterable[psutil.Process]], seconds: float = 10) -> None:
    """End the processes that `find` returns: by SIGTERM, after `seconds` by SIGKILL, until it returns none.

    `find` is called repeatedly, because a process may have started another one just before it ended.

    Raises:
        TimeoutError: Processes still run 10 seconds after SIGKILL.
    """
    terminated: set[tuple[int, float]] = set()
    seen: set[psutil.Process] = set()
    began = time.monotonic()
    # one that is about to end can no longer be found by its environment, and still holds its port
    while remaining := list(seen := {*find(), *filter(alive, seen)}):
        elapsed = time.monotonic() - began
        if elapsed > seconds + 10:
            raise TimeoutError(
                f"processes {', '.join(str(p.pid) for p in remaining)} do not end even at SIGKILL: look at them with ps"
            )
        for process in remaining:
            identity = (process.pid, process.create_time())
            if elapsed > seconds:
                _signal(process, signal.SIGKILL)
            elif identity not in terminated:
                _signal(process, signal.SIGTERM)
                terminated.add(identity)
        time.sleep(0.1)


def environment(process: psutil.Process) -> dict[str, str]:
    """The environment variables with which the process started; empty if it has ended or belongs to another user."""
    try:
        return dict(process.environ())
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return {}


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        # psutil compares the start time first, so that a number that was given to another process is left alone
        process.send_signal(number)
