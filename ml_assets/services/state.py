"""What the supervisor writes down for everybody else: `<home>/supervisor.json`."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from ml_assets.services import processes
from ml_assets.services.catalogue import Server
from ml_assets.state.home import home
from ml_assets.state.processes import began, living


@dataclass(frozen=True)
class ServiceState:
    """One server as its supervisor sees it.

    Args:
        state: `waiting` (for those that it needs), `starting`, `ready` (it was, once) or `failed`.
        pid: Its main process, 0 before the first start.
        starts: How often it was started.
        reason: Why it failed.
    """

    state: str = "waiting"
    pid: int = 0
    starts: int = 0
    reason: str = ""


@dataclass
class State:
    """The supervisor and its servers."""

    pid: int
    created: float
    settings: str
    services: dict[str, ServiceState]

    @classmethod
    def begin(cls, chosen: list[Server]) -> Self:
        """The state of this process as supervisor, written down."""
        me = psutil.Process()
        state = cls(me.pid, round(began(me), 2), settings(chosen), {server.name: ServiceState() for server in chosen})
        state.write()
        return state

    @classmethod
    def read(cls) -> Self | None:
        """What is written down; None if nothing is, or nothing that the supervisor wrote."""
        from pydantic import TypeAdapter

        try:
            return TypeAdapter(cls).validate_json(_path().read_bytes(), strict=True)
        except (OSError, ValueError):
            return None

    def write(self) -> None:
        """Write it whole."""
        temporary = _path().with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(asdict(self), indent=1))
        os.replace(temporary, _path())

    def restore(self) -> None:
        """Write it again where the file is gone or damaged: without it `status` would say that nothing runs."""
        if State.read() is None:
            self.write()

    def supervisor(self) -> psutil.Process | None:
        """The supervisor's process if it lives; a number that has gone to another process does not count."""
        process = living(self.pid)
        if process is None or round(began(process), 2) != self.created:
            return None
        return process if processes.environment(process).get(processes.HOME) == str(home().resolve()) else None


def settings(chosen: list[Server]) -> str:
    """Digest of what the servers are told: another port or another setting is another digest."""
    told = [
        [server.name, server.url, server.command, sorted(server.environment().items())]
        for server in sorted(chosen, key=lambda s: s.name)
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _path() -> Path:
    return home() / "supervisor.json"
