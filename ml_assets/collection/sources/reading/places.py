"""Lists and opens the files of a source: a path, folder or glob, local or on any file system that fsspec knows."""

import glob
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import expand, home

HOME = "$ML_ASSETS_HOME"
NESTED_LINKS = 8
"""Maximum number of links to folders that are followed within one path."""
ESCAPED = re.compile(r"\[([*?[])\]")


class SourceError(MLAssetsError, ValueError):
    """A source that cannot be read; the message says why."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, with its fingerprint.

    Args:
        uri: Its URI.
        fingerprint: Changes when the file does (size and time of change, or the object store's ETag).
    """

    uri: str
    fingerprint: str


def listing(pattern: str, hint: str = "") -> list[SourceFile]:
    """The files at a path, below a folder or that match a glob, sorted. Raises `SourceError` if there are none or access fails.

    A path that exists under exactly that name comes first; else `*`, `?`, `[…]` and `**` are read as a glob. Links are
    followed. Hidden files and folders (`.name`) are left out, unless the pattern names them.
    """
    literal, hint = expand(pattern), f": {hint}" if hint else ""
    files = _listed_here(pattern, hint) if path_here(literal) is not None else _listed_there(literal, hint)
    return sorted(files, key=lambda file: file.uri)


def fingerprint(uri: str) -> str:
    """The current fingerprint of one file; for a missing file a fixed value."""
    import fsspec
    from botocore.exceptions import BotoCoreError

    path = path_here(uri)
    try:
        if path is not None:
            return _fingerprint_here(path)
        fs, path = fsspec.url_to_fs(uri)
        return _fingerprint(fs.info(path))
    except (OSError, BotoCoreError):
        return _fingerprint({})


def opened(uri: str, compression: str | None = None) -> AbstractContextManager[IO[bytes]]:
    """Open a file for reading in binary mode. Raises `OSError`, or what the file system raises.

    Args:
        uri: A URI of fsspec or a path of this machine, whatever characters its name holds.
        compression: Compression by fsspec's name, such as `gzip`; the content is decompressed.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    path = path_here(uri)
    if path is None:
        found: AbstractContextManager[IO[bytes]] = fsspec.open(uri, "rb", compression=compression)
        return found
    if os.path.isdir(path):
        os.scandir(path).close()  # raises the reason if the folder cannot be listed
    file: AbstractContextManager[IO[bytes]] = LocalFileSystem().open(path, "rb", compression=compression)
    return file


def path_here(uri: str) -> str | None:
    """The local path that a URI or a path means; None if it is on another file system."""
    if uri.startswith(f"{HOME}/"):
        return str(home()) + uri.removeprefix(HOME)
    if uri.startswith("file://"):
        return uri.removeprefix("file://")
    return None if "://" in uri else uri


def uri_of(path: str) -> str:
    """The URI of a local path; below the home it is relative to `$ML_ASSETS_HOME`, so that it survives moving the home."""
    above = f"{home()}/"
    return f"{HOME}/{path.removeprefix(above)}" if path.startswith(above) else f"file://{path}"


def spellings(uri: str) -> tuple[str, ...]:
    """The URI, followed by the spelling that earlier versions of this program used, if it differs."""
    return (uri, f"file://{path_here(uri)}") if uri.startswith(f"{HOME}/") else (uri,)


def _listed_here(pattern: str, hint: str) -> Iterator[SourceFile]:
    def spelled(written: Callable[[str], str]) -> str:
        return os.path.join(written(os.getcwd()), path_here(expand(pattern, written)) or pattern)

    path = spelled(str).rstrip("/") or "/"
    if "$" in pattern and os.path.lexists(exactly := os.path.join(os.getcwd(), path_here(pattern) or pattern)):
        path = exactly.rstrip("/")
    if os.path.isdir(path):
        found = list(_below(path, None, False))
    elif os.path.lexists(path):
        found = [path]
    else:
        # expanded variables and the home are taken literally first, as a glob only if nothing matches
        globs = [each for each in (spelled(glob.escape), spelled(str)) if glob.has_magic(each)]
        found = next((names for each in globs if (names := _matching(each))), [])
        if not found:
            raise SourceError(f"{'nothing matches' if glob.has_magic(path) else 'there is nothing at'} {path}{hint}")
    return (SourceFile(uri_of(name), _fingerprint_here(name)) for name in found)


def _matching(pattern: str) -> list[str]:
    """The local files that match an absolute glob."""
    from fsspec.utils import glob_translate

    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(ESCAPED.sub("", part))), len(parts) - 1)
    root, rest = ESCAPED.sub(r"\1", "/".join(parts[:fixed])), parts[fixed:]
    try:
        fits = re.compile(glob_translate("/".join(rest)))
    except ValueError as error:
        raise SourceError(f"{pattern} is no glob: {error}") from error
    depth, hidden = None if "**" in rest else len(rest), any(part.startswith(".") for part in rest)
    return [name for name in _below(root or "/", depth, hidden) if fits.match(name[len(root) + 1 :])]


def _below(
    folder: str, depth: int | None, hidden: bool, above: tuple[tuple[int, int], ...] = (), links: int = 0
) -> Iterator[str]:
    """Yield the paths of the files below a folder, and of broken links and folders that cannot be listed."""
    try:
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in above:  # a link to one of its parent folders
            return
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith(".") and not hidden:
            continue
        try:
            kind = entry.stat().st_mode
        except OSError:  # a broken link: reading it gives the error
            kind = stat.S_IFREG
        if stat.S_ISDIR(kind):
            linked = links + entry.is_symlink()
            if depth != 1 and linked <= NESTED_LINKS:
                within = None if depth is None else depth - 1
                yield from _below(entry.path, within, hidden, (*above, (here.st_dev, here.st_ino)), linked)
        elif stat.S_ISREG(kind):
            yield entry.path


def _fingerprint_here(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return _fingerprint({})
    return _fingerprint({"size": found.st_size, "mtime": found.st_mtime})


def _listed_there(pattern: str, hint: str) -> Iterator[SourceFile]:
    import fsspec
    from botocore.exceptions import BotoCoreError  # raised by S3 without connection or credentials

    try:
        fs, path = fsspec.url_to_fs(pattern)
        fs.invalidate_cache()  # fsspec caches listings of object stores for the life of the process
        root = path
        if fs.isdir(path):
            found = fs.find(path, detail=True)
        elif fs.exists(path):
            return iter([SourceFile(fs.unstrip_protocol(path), _fingerprint(fs.info(path)))])
        elif glob.has_magic(path):
            found, root = fs.glob(path, detail=True), path[: re.search(r"[*?[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
            if not found:
                raise SourceError(f"nothing matches {pattern}{hint}")
        else:
            raise SourceError(f"there is nothing at {pattern}{hint}")
    except (OSError, ImportError, ValueError, BotoCoreError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{pattern} cannot be listed: {error}") from error
    named = any(part.startswith(".") for part in path[len(root) :].split("/"))
    files = [
        info
        for info in found.values()
        if info.get("type") == "file" and (named or not _hidden(str(info["name"])[len(root.rstrip("/")) :]))
    ]
    return (SourceFile(fs.unstrip_protocol(info["name"]), _fingerprint(info)) for info in files)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _fingerprint(info: dict[str, Any]) -> str:
    changed = info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified") or ""
    return f"{info.get('size')}-{changed}"
