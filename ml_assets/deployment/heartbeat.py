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

FRESH_SECONDS = 15.0
"""A worker that has not written for so long is not counted. Loading a model can hold the interpreter for seconds."""


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
    """One worker: which process it is, when it last wrote, and what it serves."""

    pid: int
    created: float
    boot: str
    host: str
    at: datetime
    projects: dict[str, Served] = field(default_factory=dict)
    ticks: int | None = None
    """When it began, in ticks since the machine started, which no change of the clock moves; unknown of older versions."""


def write(serving: Path, at: datetime, projects: dict[str, Served]) -> None:
    """Write this process's file, whole."""
    report = Report(os.getpid(), _created(), boot_id(), socket.gethostname(), at, projects, _ticks(os.getpid()))
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
def boot_id() -> str:
    """What changes when the machine starts: a process id alone says little after that."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    except OSError:
        return f"{int(psutil.boot_time()):08x}"


@cache
def _created() -> float:
    return float(psutil.Process().create_time())


def _path(serving: Path) -> Path:
    return serving / f"worker-{os.getpid()}.json"


def _read(path: Path) -> Report | Literal["damaged", "gone"]:
    try:
        entry = json.loads(path.read_bytes())
        projects = {name: Served(**{**s, "prepared": tuple(s["prepared"])}) for name, s in entry["projects"].items()}
        report = Report(**{**entry, "at": datetime.fromisoformat(entry["at"]).astimezone(UTC), "projects": projects})
        numbers = (report.pid, report.created, 0 if report.ticks is None else report.ticks)
        known = all(isinstance(n, int | float) for n in numbers) and report.pid > 0
        return report if known and isinstance(report.boot, str) and isinstance(report.host, str) else "damaged"
    except FileNotFoundError:  # its worker has just ended
        return "gone"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return "damaged"  # a power failure leaves files empty


def _alive(report: Report, now: datetime) -> bool:
    if (now - report.at).total_seconds() > FRESH_SECONDS:
        return False
    if report.host != socket.gethostname() or report.boot != boot_id():
        return report.host != socket.gethostname()
    try:
        process = psutil.Process(report.pid)
        same = abs(process.create_time() - report.created) < 1 if report.ticks is None else _ticks(report.pid) == report.ticks
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, OverflowError):
        return False


def _ticks(pid: int) -> int | None:
    """When a process of this machine began, in ticks since the machine did; None where `/proc` does not tell."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None
