"""Fixtures for all tests."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from ml_assets.cli import hear_interrupts

# how long an example takes says more about what else the machine does than about the code
settings.register_profile("ml_assets", deadline=None)
settings.load_profile("ml_assets")

SERVER = Path(__file__).parents[1] / "label_studio" / ".venv" / "bin" / "label-studio"
EMPTY = SERVER.parents[1] / "empty" / "label_studio.sqlite3"
START_SECONDS = 300.0


def pytest_configure() -> None:
    """Tests may be started in the background of a script, too."""
    hear_interrupts()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Keep each folder in one process: its tests share servers. Two processes run two folders at a time."""

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.split("::")[0].split("/")[1]  # the marks of `--dist loadgroup` do not come through (xdist 3.8)

    return ByFolder(config, log)


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """What a library sets in the environment goes with the test: MLflow notes there where it tracks, for all later commands."""
    before, mask = dict(os.environ), os.umask(0o077)
    os.umask(mask)
    yield
    os.umask(mask)
    os.environ.clear()
    os.environ.update(before)


@dataclass(frozen=True)
class LabelStudioServer:
    """A running Label Studio with one user, its owner. Pictures and sounds that it shows lie in `media` below its home."""

    url: str
    token: str
    email: str
    password: str
    home: Path


@pytest.fixture(scope="session")
def label_studio() -> Iterator[LabelStudioServer]:
    """A real Label Studio server on a free port, with a home of its own that is gone afterwards."""
    home = tempfile.mkdtemp(prefix="label-studio-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    if EMPTY.exists():  # `make setup` ran the migrations once
        shutil.copyfile(EMPTY, Path(home) / EMPTY.name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = LabelStudioServer(
        f"http://127.0.0.1:{port}", secrets.token_hex(20), "owner@example.org", secrets.token_urlsafe(12), Path(home)
    )
    (server.home / "media").mkdir()
    command = [str(SERVER), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port), "--data-dir", home]
    command += ["--username", server.email, "--password", server.password, "--user-token", server.token, "--log-level", "ERROR"]
    settings = {
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_BASE_DATA_DIR": home,
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(server.home / "media"),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    log = Path(home) / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=home, env=os.environ | settings, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_ready(process, server, log)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes], server: LabelStudioServer, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            headers = {"Authorization": f"Token {server.token}"}
            if httpx.get(f"{server.url}/api/current-user/whoami", headers=headers, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise RuntimeError(f"Label Studio did not start: {log.read_text(errors='replace')[-2000:]}")
