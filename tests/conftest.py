"""Fixtures for all tests."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings as hypothesis_settings
from installation import free_port
from xdist.scheduler import LoadScopeScheduling

from ml_assets.services import catalogue
from ml_assets.state import credentials
from ml_assets.state.interrupts import unignore

# how long an example takes says more about what else the machine does than about the code
hypothesis_settings.register_profile("ml_assets", deadline=None)
hypothesis_settings.load_profile("ml_assets")

START_SECONDS = 300.0
MASK = 0o022


def pytest_configure() -> None:
    """Tests may be started in the background of a script, too, and by somebody whose files are private."""
    unignore()
    os.umask(MASK)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Keep each folder in one process: its tests share servers. Two processes run two folders at a time."""
    if config.getoption("dist") != "loadscope":
        return None

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.split("::")[0].split("/")[1]  # the marks of `--dist loadgroup` do not come through (xdist 3.8)

    return ByFolder(config, log)


SLOW = {"test_cli.py", "test_extending.py", "test_sentence_models.py", "test_page.py", "test_plugins.py", "test_media.py"}
"""Files whose tests take seconds, because they start commands, browsers or trainings."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out, beside the tests that carry the mark themselves."""
    for item in items:
        if item.path.name in SLOW:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """What a library sets in the environment goes with the test: MLflow notes there where it tracks, for all later commands."""
    before = dict(os.environ)
    os.umask(MASK)  # a fixture of a whole folder may have made itself a private home
    yield
    os.umask(MASK)
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
    """A real Label Studio server on a free port, as `ml-assets up` starts it; its home is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="label-studio-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("LABEL_STUDIO_URL", raising=False)
        environment.setenv("ML_ASSETS_HOME", str(home))
        environment.setenv("ML_ASSETS_LABEL_STUDIO_PORT", str(free_port()))
        environment.setenv("LABEL_STUDIO_USERNAME", "owner@example.org")
        environment.setenv("LOG_LEVEL", "WARNING")
        account, service = credentials.label_studio(), catalogue.servers()["label_studio"]
        service.prepare()
        settings = dict(service.environment())
    log = home / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            service.command, cwd=home, env=os.environ | settings, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    server = LabelStudioServer(service.url, account.api_key, str(account.email), str(account.password), home)
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
