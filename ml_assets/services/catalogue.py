"""Each server: its command line, its environment, how one sees that it is ready, and which others it needs first."""

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
"""What every server is told unless the environment says otherwise: send nothing, download nothing, hold no log line back."""


@dataclass(frozen=True)
class Server:
    """One server of the installation.

    Args:
        name: Its name in `status`, in the port variables and of its log file.
        url: Its base address.
        ready_path: Path that answers 200 with `expected` in the body once it is ready.
        expected: Text that tells this server from any other that might answer there.
        command: What starts it; empty for a server that is somebody else's and only asked.
        environment: Variables of its own, over those of the process that starts it. A function, because some are secrets that
            are made at the first start, not when somebody looks at the list.
        needs: Servers that must be ready before it starts.
        prepare: Makes its folders and files, before each start.
        first_ready: Called when it was ready for the first time in this run.
        parts: Words of the command lines of those of its processes without which it is of no use, though it still answers.
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
    """All servers by name, in the order in which people think of them. Reads home, ports and addresses now."""
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
            # a first start that was cut short may have made the account without its token; nobody can have used it yet, nor one
            # in which nothing stands
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
            # its packages are its own; the folder holds the settings that it runs with, stricter than variables can say
            "DJANGO_SETTINGS_MODULE": "guard.settings",
            "PYTHONPATH": str(CHECKOUT / "label_studio"),
        }

    return Server(
        name="label_studio",
        url=url("label_studio"),
        # asked without the administrator's token: whoever holds the port would get it
        ready_path="/health",
        expected="UP",
        # --internal-host binds, --host does not
        command=(str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port("label_studio"))),
        environment=environment,
        prepare=prepare,
        first_ready=finished.touch,
    )


def _settings(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a file; `#` begins a comment line."""
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
    """Whether MLflow's first start did not come to its end, the experiment `Default`; nothing can be in the database yet.

    Its migrations are no transaction: a half of one makes every later start fail (3.17.2).
    """
    with closing(sqlite3.connect(database)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM experiments").fetchone() == (0,))
        except sqlite3.OperationalError as error:
            return "no such table" in str(error)
        except sqlite3.DatabaseError:  # no database at all: MLflow says so
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
    """The guard's variables, so that `up` starts the servers again when one of them changed."""
    return {name: os.environ[name] for name in (guard.HOSTS, SHARED) if name in os.environ}


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)
