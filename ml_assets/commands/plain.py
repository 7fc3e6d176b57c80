"""Rewrites messages of system and library errors as one plain line for people."""

import re

from ml_assets.state.home import home

SYSTEM = re.compile(r"\[Errno \d+\] (?P<why>[^:]+)(?:: '(?P<path>[^']+)'.*)?")
LANCE = re.compile(r"LanceError\((?P<kind>\w+)\): (?P<why>.*)")
DATABASE = re.compile(r"\([\w.]+Error\) (?P<why>.*?)(?: \[SQL:.*| \(Background.*)?")
PLACE = re.compile(r",? /\S+\.rs:\d+(?::\d+)?$")
CAUSE = re.compile(r"(?:.*operation on (?P<path>\S+): |.*: )?(?P<why>[\w -]+) \(os error \d+\).*")


def plain(message: str) -> str:
    """Rewrite a message of the operating system, Lance or a database in plain words; return others unchanged."""
    message = " ".join(PLACE.sub("", message.strip()).split())
    if found := SYSTEM.fullmatch(message):
        return _unusable(found["path"], found["why"])
    if found := LANCE.fullmatch(message):
        cause = CAUSE.fullmatch(found["why"])
        return _unusable(cause["path"] or "the tables", cause["why"]) if cause else f"the tables cannot be used: {found['why']}"
    if found := DATABASE.fullmatch(message):
        return f"a database cannot be used: {found['why']}"
    return message


def _unusable(path: str | None, why: str) -> str:
    why = why.strip()
    why = why[0].lower() + why[1:]
    if path is None:
        return why
    # a user who cannot write to the home may have meant another
    return f"{path} cannot be used: {why}" + ("; ML_ASSETS_HOME names another folder" if path.startswith(str(home())) else "")
