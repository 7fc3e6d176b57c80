"""The folders of local state and the addresses of the servers, read from the environment at each call."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from ml_assets.errors import InvalidValue

EXISTING = {"label_studio": "LABEL_STUDIO_URL", "mlflow": "MLFLOW_TRACKING_URI"}
"""Environment variables with the address of an existing server, which is used instead of starting our own."""
VARIABLE = re.compile(r"\$([0-9A-Za-z_]+|\{[^}]*\})")
PORTS = {"dagster": 3000, "label_studio": 8080, "mlflow": 5000, "endpoint": 8000, "explorer": 8501}


def home() -> Path:
    """The folder that holds all local state: `ML_ASSETS_HOME`, by default `.ml_assets` in the current folder."""
    return Path(os.environ.get("ML_ASSETS_HOME") or ".ml_assets").expanduser().absolute()


def cache() -> Path:
    """The user's cache folder, shared by all homes and safe to delete: `ML_ASSETS_CACHE`, else the system's cache folder."""
    import platformdirs

    given = os.environ.get("ML_ASSETS_CACHE")
    return Path(given).expanduser().absolute() if given else Path(platformdirs.user_cache_dir("ml_assets", appauthor=False))


def store_root() -> str:
    """Folder or object store URI of the tables: `ML_ASSETS_STORE`, by default `store` in the home.

    Raises:
        ValueError: A relative path: servers and commands start in different folders, and would not find each other's tables.
    """
    value = os.path.expanduser(os.environ.get("ML_ASSETS_STORE") or str(home() / "store"))
    if "://" not in value and not os.path.isabs(value):
        raise InvalidValue(
            f"ML_ASSETS_STORE={value!r} is a relative path: give an absolute one, or a URI such as s3://bucket/folder"
        )
    return value


def port(service: str) -> int:
    """The TCP port of a service: `ML_ASSETS_<SERVICE>_PORT` or its default. Raises `InvalidValue`."""
    name = f"ML_ASSETS_{service.upper()}_PORT"
    value = os.environ.get(name) or str(PORTS[service])
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise InvalidValue(f"{name}={value!r} is not a port: choose a number from 1 to 65535")
    return int(value)


def url(service: str) -> str:
    """The base URL of a service: of an existing server if its variable in `EXISTING` is set, else 127.0.0.1 and its port."""
    return os.environ.get(EXISTING.get(service, "")) or f"http://127.0.0.1:{port(service)}"


def who_starts(service: str) -> str:
    """Advice for a server that does not answer, as the end of a sentence: whether `ml-assets up` can start it."""
    variable = EXISTING.get(service, "")
    ours = f"http://127.0.0.1:{port(service)}"
    if (os.environ.get(variable) or ours).rstrip("/") != ours:  # MLflow itself sets this variable, to our own server
        return f"it is the server that {variable} names, and not started from here"
    return "start it with `ml-assets up`"


def expand(path: str, written: Callable[[str], str] = str) -> str:
    """Replace `~` and environment variables in a path; `$ML_ASSETS_HOME` always has a value.

    Args:
        path: As it stands in the YAML.
        written: Transforms each value before it goes into the path, such as `glob.escape`.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1].strip("{}")
        replacement = str(home()) if name == "ML_ASSETS_HOME" else os.environ.get(name)
        return found[0] if replacement is None else written(replacement)

    path = VARIABLE.sub(value, path)
    user, slash, rest = path.partition("/")
    return written(os.path.expanduser(user)) + slash + rest if user.startswith("~") else path
