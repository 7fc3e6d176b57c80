"""Selects the environment variables that our servers inherit, and excludes this machine from proxies."""

import os
import re
from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")

OF_OTHERS = re.compile(r"WEB_CONCURRENCY|FORWARDED_ALLOW_IPS|(GUNICORN|UVICORN|HYPERCORN|FLASK|WERKZEUG|DJANGO)_\w+")
"""Variables of web servers and frameworks, never inherited. A project's YAML may refer to any other variable."""

NEEDED = re.compile(
    # of the system
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|TZ|TERM|TMPDIR|TEMP|TMP|LC_\w+|XDG_\w+|LD_\w+|DYLD_\w+|FAKETIME\w*"
    # how the outside is reached
    r"|\w+_proxy|\w+_PROXY|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(AWS|AZURE|GOOGLE|GCS|S3|FSSPEC|PG|KRB5)_?\w*"
    # of our own programs
    r"|(ML_ASSETS|LABEL_STUDIO|MLFLOW|PYTHON|VIRTUAL_ENV|COVERAGE|OTEL)\w*|DJANGO_DB|POSTGRE_\w+|DO_NOT_TRACK|COLLECT_ANALYTICS"
)
"""Variables that are inherited by servers that run none of the projects' code."""


def spare_loopback() -> None:
    """Set `no_proxy` so that this process and its children reach the servers of this machine without a proxy."""
    spared = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in spared.split(",") if host.strip()]
    missing = [] if "*" in hosts else [host for host in LOOPBACK if host not in hosts]
    if missing and any(name.lower().endswith("_proxy") for name in os.environ):
        # some libraries read the one, some the other
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*hosts, *missing])


def inherited(runs_projects: bool, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that a server inherits.

    Args:
        runs_projects: Whether it runs the projects' code, whose YAML files may name any variable.
        environment: The environment of the process that starts it.
    """
    if runs_projects:
        return {name: value for name, value in environment.items() if not OF_OTHERS.fullmatch(name) or name == "DJANGO_DB"}
    return {name: value for name, value in environment.items() if NEEDED.fullmatch(name)}
