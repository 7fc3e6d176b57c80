"""Keeps the home accessible to its owner only, and provides the servers' folder for temporary files in it."""

import os
import pwd
import shutil
import stat
import tempfile
from contextlib import suppress
from grp import getgrgid
from pathlib import Path

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import home

SHARED = "ML_ASSETS_SHARED"
"""Environment variable, `1` to let other users in on purpose, such as a reverse proxy with its own log-in."""
OTHERS = 0o077
SOCKET_BYTES = 107
"""The longest path of a Unix socket (unix(7))."""
NAME_BYTES = 20
"""Bytes reserved for the names that programs give their sockets in a temporary folder."""


class NotPrivate(MLAssetsError, OSError):
    """Other users can change or replace the home; the message says what to do."""


def keep_private() -> None:
    """Set the umask so that new files are private to their owner, and make an existing home private, too.

    An existing home that others could enter, as earlier versions left it, is closed together with all files in it.

    Raises:
        NotPrivate: The home belongs to somebody else, others can write in it, or can put another in its place.
    """
    os.umask(OTHERS)
    folder = home()
    if os.environ.get(SHARED) != "1":
        refuse_shared(folder)
    if folder.is_dir() and stat.S_IMODE(folder.stat().st_mode) & OTHERS:
        close(folder)


def make_private_home() -> Path:
    """Create the home, if needed, as a private folder, and return it. Raises `NotPrivate`."""
    keep_private()
    home().mkdir(parents=True, exist_ok=True)
    return home()


def refuse_shared(folder: Path) -> None:
    """Check that only this user and root can write into the folder or replace it.

    Raises:
        NotPrivate: Somebody else can.
    """
    place = folder.resolve()
    if place.exists():
        if place.stat().st_uid != os.geteuid():
            raise NotPrivate(
                f"the home {folder} belongs to {_name(place.stat().st_uid)}: set ML_ASSETS_HOME to a folder of your own"
            )
        if _others_write(place.stat()):
            raise NotPrivate(
                f"others can write into the home {folder}: look whether all in it is yours, then `chmod 700 {folder}`"
            )
    for parent in place.parents:
        if not parent.exists():
            continue
        found = parent.stat()
        # where the sticky bit is set, as for /tmp, nobody can rename another user's files
        strangers = found.st_uid not in (0, os.geteuid()) and os.geteuid() != 0  # root works in other users' folders on purpose
        if strangers or (_others_write(found) and not found.st_mode & stat.S_ISVTX):
            raise NotPrivate(
                f"the home {folder} lies in {parent}, where others can put another in its place: "
                f"set ML_ASSETS_HOME to a folder below your own, or {SHARED}=1 if you trust them"
            )


def close(folder: Path) -> None:
    """Remove all permissions of other users from the folder and everything in it, the folder first."""
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) & ~OTHERS)
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            one = Path(path, name)
            with suppress(FileNotFoundError, PermissionError):  # deleted meanwhile, or owned by another user
                mode = one.lstat().st_mode
                if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & OTHERS:
                    one.chmod(stat.S_IMODE(mode) & ~OTHERS)


def temporary_folder() -> Path:
    """Create an empty `<home>/tmp` for the servers' temporary files; a link to a shorter path if sockets need one.

    Whatever an earlier supervisor left in it is deleted.
    """
    link = home() / "tmp"
    if link.is_symlink() and _own(link.readlink()):
        shutil.rmtree(link.readlink(), ignore_errors=True)
    if link.is_symlink() or link.is_file():
        link.unlink()
    shutil.rmtree(link, ignore_errors=True)
    if len(os.fsencode(link)) + NAME_BYTES <= SOCKET_BYTES:
        link.mkdir(mode=0o700, exist_ok=True)
        return link
    made = Path(tempfile.mkdtemp(prefix="ml-assets-"))
    link.symlink_to(made)
    return made


def _own(folder: Path) -> bool:
    return folder.name.startswith("ml-assets-") and folder.is_dir() and folder.stat().st_uid == os.geteuid()


def _others_write(found: os.stat_result) -> bool:
    """Whether another user may write to the file: everybody may, or a group with other members."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_own_group(found.st_gid)


def _is_own_group(group: int) -> bool:
    """Whether the group has no other members than this user (or is root's), as the private groups of many systems."""
    if group == 0:
        return True  # root's, who reads everything anyway
    try:
        me, its = pwd.getpwuid(os.geteuid()), getgrgid(group)
    except KeyError:
        return False
    return its.gr_name == me.pw_name and not set(its.gr_mem) - {me.pw_name}


def _name(user: int) -> str:
    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user id {user}"
