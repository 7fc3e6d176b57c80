"""API keys of the endpoint: created once, shown once, stored as hashes in `<home>/keys.json` (mode 0600)."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from ml_assets.errors import InvalidValue, Missing, MLAssetsError
from ml_assets.spool import speakers
from ml_assets.state.files import write_whole
from ml_assets.state.home import home
from ml_assets.state.names import PROJECT_NAME, UnknownProject

SCOPES = ("predict", "collect", "label", "feedback")
PREFIX = "mla_"
MOST_NAMES = 100
"""Maximum number of labelers for whom one key may speak."""


class UnknownScope(MLAssetsError, ValueError):
    """Raised for a scope that does not exist, or a missing one."""


class UnreadableKeys(MLAssetsError, ValueError):
    """Raised when the file of keys is damaged."""


@dataclass(frozen=True)
class Key:
    """The stored data of a key, without its secret.

    Args:
        id: 12 hexadecimal digits that identify the key.
        project: The one project that it opens.
        scopes: Permissions: predict, collect, label, feedback.
        name: Name of the owner, recorded with each prediction and used as labeler of pushed labels.
        digest: SHA-256 of the secret. A secret of 256 random bits needs no slow hash.
        created_at: ISO time.
        speaks_for: Other labelers, programs or people, in whose name it may push labels.
    """

    id: str
    project: str
    scopes: tuple[str, ...]
    name: str
    digest: str
    created_at: str
    speaks_for: tuple[str, ...] = ()


def add(
    project: str,
    scopes: Iterable[str],
    name: str,
    at: datetime,
    path: Path | None = None,
    speaks_for: Iterable[str] = (),
) -> str:
    """Create a key and return its secret, which cannot be shown again.

    Raises `UnknownScope`, `UnknownProject`; `BadName` for an invalid name, `MayNotSpeak` for a name that belongs to somebody
    else.
    """
    if not PROJECT_NAME.fullmatch(project):
        raise UnknownProject(f"{project!r} is not a project's name: use a-z, 0-9 and _, starting with a letter, at most 40")
    chosen = tuple(dict.fromkeys(scopes))
    unknown = [s for s in chosen if s not in SCOPES]
    if unknown or not chosen:
        raise UnknownScope(f"unknown scope {unknown[0] if unknown else ''!r}: choose one of {', '.join(SCOPES)}")
    own = speakers.check_own(_utf8(name))
    others = tuple(dict.fromkeys(speakers.check_given(_utf8(other)) for other in speaks_for))
    if len(others) > MOST_NAMES:
        raise speakers.BadName(f"a key cannot speak for {len(others):,} labelers: at most {MOST_NAMES}")
    if others and "label" not in chosen:
        raise UnknownScope(f"a key that speaks for {others[0]!r} must be able to label: add --scope label")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(secrets.token_hex(6), project, chosen, own, _digest(secret), at.isoformat(), others)
    path = path or default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        _write(path, [*_read(path), key])
    return secret


def list_keys(project: str | None = None, path: Path | None = None) -> list[Key]:
    """The keys of one project, or of all."""
    return [k for k in _read(path or default_path()) if project in (None, k.project)]


def revoke(key_id: str, path: Path | None = None) -> Key:
    """Delete a key; the endpoint refuses it from the next request on. Raises `LookupError`."""
    path = path or default_path()
    with _lock(path):
        keys = _read(path)
        gone = next((k for k in keys if k.id == key_id), None)
        if gone is None:
            raise Missing(f"no key {key_id!r}: there are {', '.join(k.id for k in keys) or 'none'}")
        _write(path, [k for k in keys if k.id != key_id])
    return gone


class KeyRing:
    """The keys for a server, reloaded when the file has changed."""

    def __init__(self, path: Path):
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[Key] = []

    def verify(self, secret: str) -> Key | None:
        """The key with this secret, or None. Raises `UnreadableKeys`."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            self._keys, self._seen = _read(self.path), seen
        digest, found = _digest(secret), None
        for key in self._keys:  # compare with all keys, so that timing reveals nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def verify(secret: str, path: Path | None = None) -> Key | None:
    """The key with this secret, or None."""
    return KeyRing(path or default_path()).verify(secret)


def default_path() -> Path:
    """The path of the file of keys, `<home>/keys.json`."""
    return home() / "keys.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(path.name + ".lock"), mode=0o600)


def _read(path: Path) -> list[Key]:
    try:
        text = path.read_bytes().decode("utf-8", "replace")  # invalid UTF-8 is reported as damaged below
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        return [_key(entry) for entry in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableKeys(f"{path} is damaged: delete it and make new keys") from error


def _key(entry: dict[str, Any]) -> Key:
    """Parse one entry of the file. Raises `ValueError`, `KeyError`, `TypeError` if it is invalid."""
    key = Key(**{**entry, "scopes": tuple(entry["scopes"]), "speaks_for": tuple(entry.get("speaks_for") or ())})
    texts = (key.id, key.project, key.name, key.digest, key.created_at, *key.scopes, *key.speaks_for)
    if not all(isinstance(text, str) for text in texts) or not key.digest.isascii():
        raise InvalidValue("a key consists of texts")
    # an earlier version accepted any name; unprintable characters would break each record with it
    name = "".join(c if c.isprintable() else "\ufffd" for c in _utf8(key.name))[: speakers.LONGEST]
    return replace(key, name=name, speaks_for=tuple(filter(speakers.may_be_given, key.speaks_for)))


def _utf8(name: str) -> str:
    """The name with its surrogates decoded as UTF-8, which a shell with another encoding leaves in it (PEP 383)."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return name


def _write(path: Path, keys: list[Key]) -> None:
    write_whole(path, json.dumps({"keys": [asdict(k) for k in keys]}, indent=1).encode())  # write_whole sets mode 0600
