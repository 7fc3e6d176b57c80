"""The supervisor's state file, `<home>/supervisor.json`, which other commands read."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from ml_assets.services import processes
from ml_assets.services.catalogue import Server
from ml_assets.state.files import write_whole
from ml_assets.state.home import home
from ml_assets.state.processes import began, living


@dataclass(frozen=True)
class ServiceState:
    """The state of one server, as its supervisor sees it.

    Args:
        state: `waiting` (for servers that it needs), `starting`, `ready` (it was, at least once) or `failed`.
        pid: Its main process, 0 before the first start.
        starts: Number of starts.
        reason: Why it failed.
    """

    state: str = "waiting"
    pid: int = 0
    starts: int = 0
    reason: str = ""


@dataclass
class State:
    """The content of the state file: the supervisor's process, the digest of its settings, and the state of each server."""

    pid: int
    created: float
    settings: str
    services: dict[str, ServiceState]

    @classmethod
    def begin(cls, chosen: list[Server]) -> Self:
        """Write and return the initial state, with this process as the supervisor."""
        me = psutil.Process()
        state = cls(me.pid, round(began(me), 2), settings(chosen), {server.name: ServiceState() for server in chosen})
        state.write()
        return state

    @classmethod
    def read(cls) -> Self | None:
        """Read the state file; None if it is missing or invalid."""
        from pydantic import TypeAdapter

        try:
            return TypeAdapter(cls).validate_json(_path().read_bytes(), strict=True)
        except (OSError, ValueError):
            return None

    def write(self) -> None:
        """Write the state file atomically."""
        write_whole(_path(), json.dumps(asdict(self), indent=1).encode())

    def restore(self) -> None:
        """Write the state file again if it is missing or damaged, because `status` needs it to find the servers."""
        if State.read() is None:
            self.write()

    def supervisor(self) -> psutil.Process | None:
        """The supervisor's process; None if it has ended, even if another process has its id now."""
        process = living(self.pid)
        if process is None or round(began(process), 2) != self.created:
            return None
        return process if processes.environment(process).get(processes.HOME) == str(home().resolve()) else None


def settings(chosen: list[Server]) -> str:
    """A digest of the servers' command lines, URLs and environments, which shows whether any of them changed."""
    described = [
        [server.name, server.url, server.command, sorted(server.environment().items())]
        for server in sorted(chosen, key=lambda s: s.name)
    ]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _path() -> Path:
    return home() / "supervisor.json"
