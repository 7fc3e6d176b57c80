"""A PostgreSQL server, an S3 server, and an installation that keeps everything it can on them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from installation import SERVICES, free_port, processes_of

from . import object_store, postgres
from .object_store import BUCKET, ObjectStore
from .postgres import Postgres
from .topics import PROJECT, table

COMMAND = str(Path(sys.executable).with_name("ml-assets"))


@dataclass(frozen=True)
class Team:
    """An installation of a team, as its variables describe it."""

    home: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `ml-assets`."""
        return subprocess.run(
            [COMMAND, *arguments], env=self.environment, capture_output=True, text=True, timeout=400, check=False
        )

    def command(self, *arguments: str) -> str:
        """Run `ml-assets`, which must succeed, and return its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr + "".join(
            f"\n--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in self.home.glob("logs/*.log")
        )
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.command(*arguments, "--json"))


@pytest.fixture(scope="package")
def databases() -> Iterator[Postgres]:
    """The PostgreSQL server."""
    with postgres.server() as running:
        yield running


@pytest.fixture(scope="package")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """The S3 server."""
    with object_store.server(tmp_path_factory.mktemp("s3") / "log") as running:
        yield running


@pytest.fixture(scope="package")
def team(databases: Postgres, objects: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The installation with its servers up; the raw texts lie in the bucket, nothing has run yet."""
    folder = tmp_path_factory.mktemp("team")
    home, defs = folder / "home", folder / "defs"
    (defs / "topics").mkdir(parents=True)
    (defs / "topics" / "defs.yaml").write_text(PROJECT.format(path=f"s3://{BUCKET}/raw/*.csv"))
    objects.put("raw/first.csv", table())
    environment = {
        **os.environ,
        **objects.environment,
        "ML_ASSETS_HOME": str(home),
        "ML_ASSETS_DEFS": str(defs),
        "ML_ASSETS_STORE": f"s3://{BUCKET}/tables",
        "DAGSTER_POSTGRES_URL": databases.create("dagster"),
        "MLFLOW_BACKEND_STORE_URI": databases.create("mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/artifacts",
        "DJANGO_DB": "default",
        "POSTGRE_NAME": "label_studio",
        "POSTGRE_USER": "team",
        "POSTGRE_PASSWORD": databases.password,
        "POSTGRE_HOST": "127.0.0.1",
        "POSTGRE_PORT": str(databases.port),
        "COLUMNS": "200",
        "ML_ASSETS_ENDPOINT_WORKERS": "1",
        **{f"ML_ASSETS_{name.upper()}_PORT": str(free_port()) for name in SERVICES},
    }
    databases.create("label_studio")
    made = Team(home, environment)
    try:
        made.command("up", "--detach")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setenv("AWS_ALLOW_HTTP", "true")  # `store` sets it itself where the address is known at its import
            yield made
        made.command("down")
    finally:
        left = processes_of(home)
        for process in left:
            process.kill()
    assert not left, f"left behind by `down`: {left}"
