"""Runs Dagster: the code server with the projects' code, the web server behind our guard, and the daemon.

    python -m ml_assets.services.dagster_server              all three, until one of them ends
    python -m ml_assets.services.dagster_server webserver …  the guarded web server, with the options of `dagster-webserver`

`dagster dev` does the same without the guard. The other two reach the code server over a Unix socket in a folder that only its
owner can enter, because anybody who reaches that server can run code.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import port
from ml_assets.state.private import keep_private

CHECKOUT = Path(__file__).resolve().parents[2]
MODULE, LOCATION = "ml_assets.definitions", "ml_assets"
CODE = "the process that holds the code"
CODE_SECONDS = 180.0
END_SECONDS = 12.0
"""Time for the processes to end after SIGTERM; circus allows 15 seconds for all together."""


class DagsterEnded(MLAssetsError, RuntimeError):
    """One of Dagster's processes ended unexpectedly or did not start; the message says which."""


def main() -> None:
    """Run all three processes, or only the web server if the first argument is `webserver`."""
    keep_private()
    if sys.argv[1:2] == ["webserver"]:
        _webserver(sys.argv[2:])
    else:
        _all()


def _all() -> None:
    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    started: dict[str, subprocess.Popen[bytes]] = {}
    with tempfile.TemporaryDirectory(prefix="dagster-") as folder:  # mode 0700
        code, workspace = Path(folder, "code"), Path(folder, "workspace.yaml")
        workspace.write_text(f"load_from:\n  - grpc_server: {{socket: {code}, location_name: {LOCATION}}}\n")
        try:
            started[CODE] = _start(sys.executable, "-m", "dagster", "code-server", "start", *_of_code(code))
            _wait(code, started)
            options = ("--workspace", str(workspace))
            started["the web server"] = _start(sys.executable, "-m", __spec__.name, "webserver", *options)
            started["the daemon"] = _start(str(Path(sys.executable).with_name("dagster-daemon")), "run", *options)
            while True:
                _refuse_ended(started)
                time.sleep(1)
        finally:
            # those that ask first, then the one that is asked
            _end([process for name, process in started.items() if name != CODE])
            _end(list(started.values()))


def _of_code(at: Path) -> tuple[str, ...]:
    """The arguments of the code server, which imports the code in a child process, a new one at each reload in the UI."""
    return (
        *("--socket", str(at), "--module-name", MODULE, "--location-name", LOCATION),
        *("--working-directory", str(CHECKOUT), "--use-python-environment-entry-point"),
        *("--startup-timeout", str(int(CODE_SECONDS)), "--inject-env-vars-from-instance"),
    )


def _start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, "DAGSTER_IS_DEV_CLI": "1"})  # as `dagster dev` has it


def _wait(code: Path, started: dict[str, subprocess.Popen[bytes]]) -> None:
    """Wait until the code server accepts connections. Raises `DagsterEnded`."""
    began = time.monotonic()
    while True:
        _refuse_ended(started)
        with socket.socket(socket.AF_UNIX) as asking, suppress(OSError):
            asking.connect(str(code))
            return
        if time.monotonic() - began > CODE_SECONDS:
            raise DagsterEnded(f"the projects' code was not loaded within {CODE_SECONDS:g} s")
        time.sleep(0.1)


def _refuse_ended(started: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in started.items():
        if process.poll() is not None:
            raise DagsterEnded(f"{name} ended by itself with code {process.returncode}")


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + END_SECONDS / 2
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _webserver(arguments: list[str]) -> None:
    """Run Dagster's own web server with its call of `uvicorn.run` replaced by ours: behind the guard, at our port."""
    from dagster_webserver import cli

    from ml_assets.network.guard import serve

    def run(app: Any, **_: object) -> None:
        serve(app, "dagster", json_only=True, no_query=("/graphql",))

    if "uvicorn" not in vars(cli):  # without the guard nothing may be served
        raise DagsterEnded("this version of Dagster starts its web server in another way than 1.13 did: install that one")
    vars(cli)["uvicorn"] = SimpleNamespace(run=run)
    cli.dagster_webserver([*arguments, "--port", str(port("dagster"))], prog_name="dagster-webserver")


if __name__ == "__main__":
    main()
