"""The names of projects, which become folders, tables and parts of addresses."""

import re

from ml_assets.errors import MLAssetsError

PROJECT_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class UnknownProject(MLAssetsError, ValueError):
    """The name is no project's."""


def named(project: str) -> str:
    """The name, before a path is made of it. Raises `UnknownProject` if it is no project's."""
    if not PROJECT_NAME.fullmatch(project):
        raise UnknownProject(
            f"{project[:80]!r} is not a project's name: use a-z, 0-9 and _, starting with a letter, at most 40"
        )
    return project
