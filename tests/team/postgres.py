"""A real PostgreSQL server on a free port, with a password, that is gone afterwards."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from installation import free_port, wait_until

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # nothing here outlives the tests, so nothing needs to reach the disk
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class Postgres:
    """A running server with one user, `team`."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """The address of a database, as people write it."""
        return f"postgresql://team:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; its address."""
        self.query("postgres", f"CREATE DATABASE {database}")
        return self.url(database)

    def query(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """The rows that a statement returns."""
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


@contextmanager
def server() -> Iterator[Postgres]:
    """Start the server, and end it; it refuses to run as root, so that root hands it to an ordinary user."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    made = Postgres(free_port(), secrets.token_urlsafe(12))
    whose: dict[str, Any] = {"cwd": folder}
    (folder / "password").write_text(made.password)
    if os.geteuid() == 0:
        ordinary = next(user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody"))
        whose |= {"user": ordinary.pw_uid, "group": ordinary.pw_gid, "extra_groups": []}
        for path in (folder, folder / "password"):
            os.chown(path, ordinary.pw_uid, ordinary.pw_gid)
    data, log = folder / "data", folder / "log"
    initialise = [_program("initdb"), "-D", data, "-U", "team", "--pwfile", folder / "password", "--auth", "scram-sha-256"]
    subprocess.run([*initialise, "-E", "UTF8", "--locale", "C", "--no-sync"], **whose, check=True, stdout=subprocess.DEVNULL)
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [_program("postgres"), "-D", data, "-p", str(made.port), *options], **whose, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(made), 60)
        assert process.poll() is None, log.read_text()
        yield made
    finally:
        process.send_signal(signal.SIGINT)  # ends at once, whoever is connected
        process.wait(timeout=30)
        shutil.rmtree(folder)


def _answers(server: Postgres) -> bool:
    try:
        psycopg2.connect(server.url("postgres"), connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def _program(name: str) -> str:
    """The newest one that is installed; Debian keeps them apart from the search path."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    assert found, f"{name} is not installed: `make postgresql`"
    return found
