"""What tests need that start whole installations: free ports, waiting, and finding the processes of a home."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

SERVICES = ("dagster", "label_studio", "mlflow", "endpoint", "explorer")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], object], seconds: float) -> None:
    """Ask again and again, and fail when time runs out."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.25)


def processes_of(home: Path) -> list[psutil.Process]:
    """Living processes that were started with this home, but for Python's own helper of the process that asks."""
    found = []
    for process in psutil.process_iter():
        try:
            own = process.pid == os.getpid() or (
                process.ppid() == os.getpid() and "multiprocessing.resource_tracker" in " ".join(process.cmdline())
            )
            if not own and process.environ().get("ML_ASSETS_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def workers_of(pid: int) -> list[psutil.Process]:
    """The living processes that a process started, but for Python's own helper."""
    found = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie too
            if "multiprocessing.resource_tracker" not in " ".join(child.cmdline()):
                found.append(child)
    return found
