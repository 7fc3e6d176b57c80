"""API keys of the endpoint: made once, shown once, kept as hashes in `<home>/keys.json` (mode 0600)."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock

from ml_assets.errors import InvalidValue, Missing, MLAssetsError
from ml_assets.home import home
from ml_assets.inbox import write_whole
from ml_assets.store import PROJECT_NAME, UnknownProject

SCOPES = ("predict", "collect", "label", "feedback")
PREFIX = "mla_"
RESERVED = "monitoring"
"""The client of samples that monitoring sends back to people: no key may speak in its name."""


class UnknownScope(MLAssetsError, ValueError):
    """A scope that keys cannot have."""


class UnreadableKeys(MLAssetsError, ValueError):
    """The file of the keys is damaged."""


@dataclass(frozen=True)
class Key:
    """What is known of a key; not the key itself.

    Args:
        id: 12 hexadecimal digits to name it by.
        project: The one project that it opens.
        scopes: What it may do there: predict, collect, label, feedback.
        name: Whose it is; stands beside each prediction that it asked for.
        digest: SHA-256 of the secret. A secret of 256 random bits needs no slow hash.
        created_at: ISO time.
    """

    id: str
    project: str
    scopes: tuple[str, ...]
    name: str
    digest: str
    created_at: str


def add(project: str, scopes: Iterable[str], name: str, at: datetime, path: Path | None = None) -> str:
    """Make a key and return its secret, which cannot be seen again. Raises `UnknownScope`, `UnknownProject`."""
    if not PROJECT_NAME.fullmatch(project):
        raise UnknownProject(f"{project!r} is not a project's name: use a-z, 0-9 and _, starting with a letter, at most 40")
    chosen = tuple(dict.fromkeys(scopes))
    unknown = [s for s in chosen if s not in SCOPES]
    if unknown or not chosen:
        raise UnknownScope(f"unknown scope {unknown[0] if unknown else ''!r}: choose one of {', '.join(SCOPES)}")
    if not name.strip() or name.strip() == RESERVED:
        raise InvalidValue(f"a key cannot be named {name!r}: say who will use it")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(secrets.token_hex(6), project, chosen, name.strip(), _digest(secret), at.isoformat())
    path = path or default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        _write(path, [*_read(path), key])
    return secret


def list_keys(project: str | None = None, path: Path | None = None) -> list[Key]:
    """The keys of one project, or of all."""
    return [k for k in _read(path or default_path()) if project in (None, k.project)]


def revoke(key_id: str, path: Path | None = None) -> Key:
    """Take a key back; the endpoint refuses it from the next request on. Raises `LookupError`."""
    path = path or default_path()
    with _lock(path):
        keys = _read(path)
        gone = next((k for k in keys if k.id == key_id), None)
        if gone is None:
            raise Missing(f"no key {key_id!r}: there are {', '.join(k.id for k in keys) or 'none'}")
        _write(path, [k for k in keys if k.id != key_id])
    return gone


class KeyRing:
    """The keys as a server sees them: read again when the file has changed."""

    def __init__(self, path: Path):
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[Key] = []

    def verify(self, secret: str) -> Key | None:
        """The key that this secret opens with, or None. Raises `UnreadableKeys`."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            self._keys, self._seen = _read(self.path), seen
        digest, found = _digest(secret), None
        for key in self._keys:  # all of them, so that the time says nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def verify(secret: str, path: Path | None = None) -> Key | None:
    """The key that this secret opens with, or None."""
    return KeyRing(path or default_path()).verify(secret)


def default_path() -> Path:
    """`<home>/keys.json`."""
    return home() / "keys.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(path.name + ".lock"), mode=0o600)


def _read(path: Path) -> list[Key]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        return [Key(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableKeys(f"{path} is damaged: delete it and make new keys") from error


def _write(path: Path, keys: list[Key]) -> None:
    write_whole(path, json.dumps({"keys": [asdict(k) for k in keys]}, indent=1).encode())  # which makes it 0600
