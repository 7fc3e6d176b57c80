"""Finds a victim among the processes of a home, and kills it with SIGKILL."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from ml_assets.services import processes

from .schedule import Kill


def kill(chosen: Kill, home: Path, command: int) -> str:
    """Kill one process; which, in words. Empty if there is none of the kind."""
    found = [psutil.Process(command)] if chosen.victim == "command" else _candidates(chosen.victim, home)
    if not found:
        return ""
    victim = found[int(chosen.which * len(found))]
    name = f"{chosen.victim} ({_words(victim)})"
    with suppress(psutil.NoSuchProcess):
        os.kill(victim.pid, signal.SIGKILL)
    return name


def _candidates(victim: str, home: Path) -> list[psutil.Process]:
    service = {"worker": "endpoint", "step": "dagster"}.get(victim, victim)
    marked = [p for p in processes.of_home(service, home) if processes.environment(p).get(processes.SERVICE) == service]
    found = sorted(marked, key=lambda p: (p.create_time(), p.pid))
    if victim == "step":
        return [p for p in found if is_run(p)]
    if victim == "worker":
        return [p for p in found if is_run(p)]  # spawned by the process that watches them
    return [p for p in found if "resource_tracker" not in " ".join(_line(p))]


def is_run(process: psutil.Process) -> bool:
    """Whether Python spawned it: below Dagster, it executes a run."""
    return "multiprocessing.spawn" in " ".join(_line(process))


def _words(process: psutil.Process) -> str:
    """What it is, from its command line."""
    line = [Path(part).name if part.startswith("/") else part for part in _line(process)]
    return " ".join(part for part in line if not part.startswith("-"))[:60]


def _line(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return list(process.cmdline())
    return []
