"""Prepares Dagster's home: its `dagster.yaml`, and the database for runs, events and schedules."""

import os
import shutil
from pathlib import Path
from typing import Any

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import home

POSTGRES = "DAGSTER_POSTGRES_URL"
STORAGE = f"""
# added because {POSTGRES} was set; take it out to go back to SQLite in this folder
storage:
  postgres:
    postgres_url:
      env: {POSTGRES}
"""
STORAGES = ("storage", "run_storage", "event_log_storage", "schedule_storage")
CONNECT_SECONDS = 10


class DagsterHomeError(MLAssetsError, OSError):
    """Dagster's home or its database cannot be used; the message is one sentence and does not show the password."""


def prepare_dagster_home() -> Path:
    """Create `<home>/dagster` with a `dagster.yaml` if missing, add a PostgreSQL storage if configured; return the folder.

    Raises:
        DagsterHomeError: The database cannot be reached, the variable and the file contradict each other, or it is no YAML.
    """
    folder = home() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if settings.exists() and not settings.read_bytes().strip(b"\0 \t\r\n"):
        # what a full disk or a power cut leaves; without settings Dagster would run as it comes, telemetry included
        os.replace(settings, settings.with_name("dagster.yaml.damaged"))
    if not settings.exists():
        _write(settings, Path(__file__).with_name("dagster.yaml").read_text())
    storage, url = _storage(settings), environment().get(POSTGRES)
    if url and not storage:
        _write(settings, settings.read_text().rstrip("\n") + "\n" + STORAGE)
    elif url and POSTGRES not in str(storage):
        raise DagsterHomeError(f"{POSTGRES} is set, but {settings} names another storage: take out one of the two")
    elif not url and POSTGRES in str(storage):
        # most likely forgotten in this shell; falling back to SQLite would split the history in two
        raise DagsterHomeError(
            f"{settings} keeps Dagster's storage at {POSTGRES}, which is not set: set it, or take out `storage` there"
        )
    if url:
        _ask(url)
    return folder


def environment() -> dict[str, str]:
    """The environment variables with which every Dagster process finds its home and its database."""
    variables = {"DAGSTER_HOME": str(home() / "dagster")}
    if url := os.environ.get(POSTGRES):
        variables[POSTGRES] = with_driver(url)
    return variables


def with_driver(url: str) -> str:
    """Add the driver psycopg2 to a PostgreSQL URL that names none; other URLs stay unchanged.

    Without a driver SQLAlchemy 2.1 uses psycopg 3; dagster-postgres and MLflow are written for psycopg2.
    """
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if separator and scheme in ("postgres", "postgresql") else url


def _storage(settings: Path) -> dict[str, Any]:
    """The storage sections of a `dagster.yaml`. Raises `DagsterHomeError` if it is no YAML."""
    import yaml

    try:
        stands = yaml.safe_load(settings.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DagsterHomeError(f"{settings} is no YAML: {' '.join(str(error).split())}") from error
    # Dagster itself reports a file that is no mapping
    return {name: stands[name] for name in STORAGES if name in stands} if isinstance(stands, dict) else {}


def _ask(url: str) -> None:
    """Check the connection to the database once; Dagster itself would retry for long and then show a traceback."""
    import psycopg2

    try:
        psycopg2.connect(url.replace("+psycopg2", "", 1), connect_timeout=CONNECT_SECONDS).close()
    except psycopg2.Error as error:
        raise DagsterHomeError(f"{POSTGRES}: {' '.join(str(error).split())}") from None


def _write(path: Path, content: str) -> None:
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(content)
    if path.exists():
        shutil.copymode(path, temporary)
    os.replace(temporary, path)
