"""Describes each server: its command line, its environment, its readiness check, and the servers that it needs first."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ml_assets.network import guard
from ml_assets.services import dagster_home
from ml_assets.services.dagster_home import with_driver
from ml_assets.state import credentials
from ml_assets.state.home import home, port, store_root, url
from ml_assets.state.private import SHARED

CHECKOUT = Path(__file__).resolve().parents[2]

QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
"""Default variables of every server: no telemetry, no downloads, unbuffered logs. The environment overrides them."""


@dataclass(frozen=True)
class Server:
    """The description of one server of the installation.

    Args:
        name: Its name, which `status`, the port variable and the log file use.
        url: Its base address.
        ready_path: Path that answers 200 with `expected` in the body once it is ready.
        expected: Text that distinguishes this server from others that might answer there.
        command: The command line that starts it; empty for an existing server that is only checked.
        environment: Variables that override those of the process that starts it. A function, because some are secrets that
            are created at the first start, not when the servers are listed.
        needs: Servers that must be ready before it starts.
        prepare: Creates its folders and files, before each start.
        first_ready: Called when it first becomes ready.
        parts: Words in the command lines of its child processes that must run, though it still answers without them.
        runs_projects: Whether it runs the projects' code, whose files may name any variable of the environment.
    """

    name: str
    url: str
    ready_path: str
    expected: str = ""
    command: tuple[str, ...] = ()
    environment: Callable[[], Mapping[str, str]] = dict
    needs: tuple[str, ...] = ()
    prepare: Callable[[], object] = lambda: None
    first_ready: Callable[[], None] = lambda: None
    parts: tuple[str, ...] = ()
    runs_projects: bool = False


def servers() -> dict[str, Server]:
    """All servers by name, in the order in which they are shown, with home, ports and URLs of the current environment."""
    parts = (_dagster, _label_studio, _mlflow, _endpoint, _explorer)
    return {server.name: server for server in (part() for part in parts)}


def _dagster() -> Server:
    return Server(
        name="dagster",
        url=url("dagster"),
        ready_path="/server_info",
        expected="dagster_webserver_version",
        command=_module("ml_assets.services.dagster_server"),
        environment=lambda: {**dagster_home.environment(), "ML_ASSETS_STORE": store_root(), **_guard()},
        # its sensors ask Label Studio from the first second; MLflow is called by runs alone, which take longer to start than it
        # does (waiting for it too: all ready in 33-54 s instead of 18-27 s on two busy cores)
        needs=("label_studio",),
        prepare=dagster_home.prepare_dagster_home,
        # it ends when its web server or its daemon does, but goes on without the processes that hold the project's code
        parts=("dagster code-server start", "dagster api grpc"),
        runs_projects=True,
    )


def _label_studio() -> Server:
    if os.environ.get("LABEL_STUDIO_URL"):
        return Server(name="label_studio", url=url("label_studio").rstrip("/"), ready_path="/health", expected="UP")
    folder = home() / "label_studio"
    program = CHECKOUT / "label_studio" / ".venv" / "bin" / "label-studio"
    database, finished = folder / "label_studio.sqlite3", folder / ".first-start-finished"
    on_postgres = os.environ.get("DJANGO_DB", "sqlite") != "sqlite"

    def prepare() -> None:
        if not program.exists():
            raise FileNotFoundError(f"Label Studio's environment is missing ({program}): run `make setup`")
        (home() / "media").mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if on_postgres:  # its migrations run there at the first start
            return
        if database.exists() and not (finished.exists() and database.stat().st_size):
            # an interrupted first start may have created the account without its token; nobody can have used that database yet,
            # nor an empty one
            os.replace(database, database.with_suffix(".unfinished"))
        empty = program.parents[1] / "empty" / "label_studio.sqlite3"
        if not database.exists() and empty.exists():
            # `make setup` ran the migrations once; copied, they need not run again for each home
            shutil.copyfile(empty, temporary := database.with_suffix(".new"))
            os.replace(temporary, database)

    def environment() -> dict[str, str]:
        account = credentials.label_studio()
        given = _settings(CHECKOUT / "label_studio" / "settings.env")
        return {
            **{name: os.environ.get(name, value) for name, value in given.items()},
            # named here so that `up` starts the server again when one of them changed
            **{name: value for name, value in os.environ.items() if name == "DJANGO_DB" or name.startswith("POSTGRE_")},
            "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(home() / "media"),
            # through the environment, because command lines are visible to every user of the machine
            "LABEL_STUDIO_USERNAME": str(account.email),
            "LABEL_STUDIO_PASSWORD": str(account.password),
            "LABEL_STUDIO_USER_TOKEN": account.api_key,
            # it has its own packages; this folder has its settings module, which is stricter than variables can be
            "DJANGO_SETTINGS_MODULE": "guard.settings",
            "PYTHONPATH": str(CHECKOUT / "label_studio"),
        }

    return Server(
        name="label_studio",
        url=url("label_studio"),
        # requested without the administrator's token, which another program at this port would receive
        ready_path="/health",
        expected="UP",
        # --internal-host binds, --host does not
        command=(str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port("label_studio"))),
        environment=environment,
        prepare=prepare,
        first_ready=finished.touch,
    )


def _settings(path: Path) -> dict[str, str]:
    """Read the `NAME=value` lines of a file; `#` begins a comment line."""
    lines = (line.strip() for line in path.read_text().splitlines()) if path.exists() else ()
    return {name: value for name, _, value in (line.partition("=") for line in lines if line and not line.startswith("#"))}


def _mlflow() -> Server:
    if existing := os.environ.get("MLFLOW_TRACKING_URI"):
        # a file or database URI has no server behind it, so there is nothing to ask
        asked = existing.startswith(("http://", "https://"))
        return Server(name="mlflow", url=existing.rstrip("/"), ready_path="/health" if asked else "", expected="OK")
    folder = home() / "mlflow"
    database = folder / "mlflow.db"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if database.exists() and _was_cut_short(database):
            os.replace(database, database.with_suffix(".unfinished"))

    return Server(
        name="mlflow",
        url=url("mlflow"),
        ready_path="/health",
        expected="OK",
        command=_module("ml_assets.services.mlflow_server"),
        environment=lambda: {
            # through the environment, because a database's address holds a password; both are MLflow's own variables
            "MLFLOW_BACKEND_STORE_URI": with_driver(os.environ.get("MLFLOW_BACKEND_STORE_URI") or f"sqlite:///{database}"),
            "MLFLOW_ARTIFACTS_DESTINATION": os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or (folder / "artifacts").as_uri(),
            # the job runner evaluates language models, in eight more processes
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **_guard(),
        },
        prepare=prepare,
    )


def _was_cut_short(database: Path) -> bool:
    """Whether MLflow's first start was interrupted before it created the experiment `Default`; the database has no data then.

    MLflow's migrations are no transaction: an incomplete one makes every later start fail (3.17.2).
    """
    with closing(sqlite3.connect(database)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM experiments").fetchone() == (0,))
        except sqlite3.OperationalError as error:
            return "no such table" in str(error)
        except sqlite3.DatabaseError:  # not a database: MLflow reports it
            return False


def _endpoint() -> Server:
    folder = home() / "bentoml"
    return Server(
        name="endpoint",
        url=url("endpoint"),
        ready_path="/readyz",
        command=_module("ml_assets.services.endpoint_server"),
        environment=lambda: {
            "BENTOML_HOME": str(folder),
            "ML_ASSETS_STORE": store_root(),
            "ML_ASSETS_ENDPOINT_WORKERS": os.environ.get("ML_ASSETS_ENDPOINT_WORKERS") or "2",
            # several torch threads in each of several workers slow each other down
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        },
        prepare=lambda: folder.mkdir(parents=True, exist_ok=True, mode=0o700),
        runs_projects=True,
    )


def _explorer() -> Server:
    return Server(
        name="explorer",
        url=url("explorer"),
        ready_path="/livez",
        expected="ml_assets explorer",
        command=_module("ml_assets.visualization.explorer"),
        environment=_guard,
        prepare=lambda: (home() / "reports").mkdir(parents=True, exist_ok=True),
    )


def _guard() -> dict[str, str]:
    """The variables that the guard reads; as part of the environment, a change in them makes `up` restart the servers."""
    return {name: os.environ[name] for name in (guard.HOSTS, SHARED) if name in os.environ}


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)
