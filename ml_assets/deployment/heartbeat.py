"""Reports of what each worker of the endpoint serves: files `<home>/serving/worker-<pid>.json`, written every second."""

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
"""Age in seconds from which on a report does not count; loading a model can block the interpreter for seconds."""


SINCE_1970 = 1e9
"""Threshold in seconds that separates Unix time stamps from uptimes: no machine has been up for 30 years."""


@dataclass(frozen=True)
class Served:
    """What one worker serves of one project.

    Args:
        model: Version of the model that serves, None if none does.
        deployment: Its id in the deployment ledger.
        prepared: Ids of the deployments whose models are loaded and checked.
        failed: Id of a deployment whose model cannot be loaded.
        error: Why, in one sentence.
    """

    model: str | None = None
    deployment: str | None = None
    prepared: tuple[str, ...] = ()
    failed: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Report:
    """The report of one worker: its process, the time of writing, and what it serves.

    `created` is the start of the process in seconds since the machine started, which is independent of the clock; workers of
    the earlier version wrote it in seconds since 1970.
    """

    pid: int
    created: float
    boot: str
    host: str
    at: datetime
    projects: dict[str, Served] = field(default_factory=dict)


def write(serving: Path, at: datetime, projects: dict[str, Served]) -> None:
    """Write the report of this process, atomically."""
    report = Report(os.getpid(), _created(), processes.boot_id(), socket.gethostname(), at, projects)
    serving.mkdir(parents=True, exist_ok=True)
    path = _path(serving)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(report) | {"at": at.isoformat()}), encoding="utf-8")
    os.replace(part, path)


def remove(serving: Path) -> None:
    """Delete the report of this process."""
    _path(serving).unlink(missing_ok=True)


def live(serving: Path, now: datetime) -> list[Report]:
    """The reports of living workers: recent and, if they are on this machine, of a process that still runs."""
    found = (_read(path) for path in sorted(serving.glob("worker-*.json")))
    return [report for report in found if isinstance(report, Report) and _alive(report, now)]


def forget_dead(serving: Path, now: datetime) -> list[Path]:
    """Delete the reports of this machine's dead workers, rename damaged ones, and return the new paths of these."""
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
