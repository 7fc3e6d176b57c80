"""What each worker of the endpoint serves, as files `<home>/serving/worker-<pid>.json` that it writes again each second."""

import json
import os
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

from ml_assets.state import processes

FRESH_SECONDS = 15.0
"""A worker that has not written for so long is not counted. Loading a model can hold the interpreter for seconds."""


SINCE_1970 = 1e9
"""Seconds above which a time is no uptime: no machine has been up for 30 years."""


@dataclass(frozen=True)
class Served:
    """One project in one worker.

    Args:
        model: Version of the model that answers, None if none does.
        deployment: The ledger's id of it.
        prepared: Ids of the deployments whose models are loaded and checked here.
        failed: Id of a deployment whose model cannot be loaded here.
        error: Why, in one sentence.
    """

    model: str | None = None
    deployment: str | None = None
    prepared: tuple[str, ...] = ()
    failed: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Report:
    """One worker: which process it is, when it last wrote, and what it serves.

    `created` is when the process began, in seconds since the machine did, which no change of the clock moves; workers of the
    version before wrote it in seconds since 1970.
    """

    pid: int
    created: float
    boot: str
    host: str
    at: datetime
    projects: dict[str, Served] = field(default_factory=dict)


def write(serving: Path, at: datetime, projects: dict[str, Served]) -> None:
    """Write this process's file, whole."""
    report = Report(os.getpid(), _created(), processes.boot_id(), socket.gethostname(), at, projects)
    serving.mkdir(parents=True, exist_ok=True)
    path = _path(serving)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(report) | {"at": at.isoformat()}), encoding="utf-8")
    os.replace(part, path)


def remove(serving: Path) -> None:
    """Take this process's file away."""
    _path(serving).unlink(missing_ok=True)


def live(serving: Path, now: datetime) -> list[Report]:
    """The workers that live: heard of lately and, if they are on this machine, still the same process."""
    found = (_read(path) for path in sorted(serving.glob("worker-*.json")))
    return [report for report in found if isinstance(report, Report) and _alive(report, now)]


def forget_dead(serving: Path, now: datetime) -> list[Path]:
    """Delete the files of this machine's dead workers, and put damaged ones aside; where those are now."""
    damaged = []
    for path in serving.glob("worker-*.json"):
        report = _read(path)
        if report == "damaged":
            damaged.append(path.replace(path.with_suffix(".damaged")))
        elif isinstance(report, Report) and report.host == socket.gethostname() and not _alive(report, now):
            path.unlink(missing_ok=True)
    return damaged


@cache
def _created() -> float:
    return processes.began(psutil.Process())


def _path(serving: Path) -> Path:
    return serving / f"worker-{os.getpid()}.json"


def _read(path: Path) -> Report | Literal["damaged", "gone"]:
    try:
        entry = json.loads(path.read_bytes())
        projects = {name: Served(**{**s, "prepared": tuple(s["prepared"])}) for name, s in entry["projects"].items()}
        report = Report(**{**entry, "at": datetime.fromisoformat(entry["at"]).astimezone(UTC), "projects": projects})
        known = isinstance(report.pid, int) and report.pid > 0 and isinstance(report.created, int | float)
        return report if known and isinstance(report.boot, str) and isinstance(report.host, str) else "damaged"
    except FileNotFoundError:  # its worker has just ended
        return "gone"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return "damaged"  # a power failure leaves files empty


def _alive(report: Report, now: datetime) -> bool:
    if (now - report.at).total_seconds() > FRESH_SECONDS:
        return False
    if report.host != socket.gethostname() or report.boot != processes.boot_id():
        return report.host != socket.gethostname()
    process = processes.living(report.pid)
    if process is None:
        return False
    try:
        began = process.create_time() if report.created > SINCE_1970 else processes.began(process)
    except psutil.NoSuchProcess:
        return False
    return bool(abs(began - report.created) < 1)
