"""One installation for all tests here: `ml-assets demo` as a user starts it, on ports of its own, ended with Ctrl-C.

The folder of people's own projects is an empty one, so that a test can add one.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser_fixture import browser
from installation import SERVICES, free_port, processes_of, wait_until

from ml_assets.demo import newsgroups

__all__ = ["browser"]

COMMAND = str(Path(sys.executable).with_name("ml-assets"))
SHOW_SECONDS = 900


@dataclass(frozen=True)
class Installation:
    """A running demo.

    Args:
        defs: Where people's own projects are declared.
        environment: Variables with which commands reach it.
        said: What it printed.
    """

    home: Path
    defs: Path
    environment: dict[str, str]
    urls: dict[str, str]
    said: str

    def command(self, *arguments: str, code: int = 0, text: str | None = None) -> str:
        """Run `ml-assets` and return its standard output; the exit code must be as given."""
        done = subprocess.run(
            [COMMAND, *arguments], env=self.environment, input=text, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.command(*arguments, "--json", code=code))


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The demo after its loop, with all servers up; when the tests are done it must end by itself and leave nothing."""
    home = tmp_path_factory.mktemp("demo") / "home"
    defs = home.with_name("defs")
    defs.mkdir()
    ports = {name: free_port() for name in SERVICES}
    environment = {
        **os.environ,
        "ML_ASSETS_HOME": str(home),
        "ML_ASSETS_DEFS": str(defs),
        "COLUMNS": "200",
        **{f"ML_ASSETS_{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }
    with pytest.MonkeyPatch.context() as patch:  # every third post: most of the time goes into embeddings
        patch.setenv("ML_ASSETS_HOME", str(home))
        newsgroups.fetch()
        for name in ("train.csv", "test.csv"):
            newsgroups._write(name, newsgroups.read(name)[::3])
    said = home.with_suffix(".log")
    with said.open("w") as log:
        process = subprocess.Popen([COMMAND, "demo"], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: "Ctrl-C ends them all" in said.read_text() or process.poll() is not None, SHOW_SECONDS)
        assert process.poll() is None, said.read_text()[-3000:]
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield Installation(home, defs, environment, urls, said.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0, said.read_text()[-3000:]
    finally:
        process.kill()
        left = processes_of(home)
        for one in left:
            one.kill()
    assert not left, f"left behind: {[p.cmdline() for p in left if p.is_running()]}"
