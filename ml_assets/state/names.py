"""Validation of project names, which become parts of paths, tables and URLs."""

import re

from ml_assets.errors import MLAssetsError

PROJECT_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class UnknownProject(MLAssetsError, ValueError):
    """A text that cannot be the name of a project."""


def named(project: str) -> str:
    """Return the name if it is valid as a project's name, so that a path can be made of it. Raises `UnknownProject`."""
    if not PROJECT_NAME.fullmatch(project):
        raise UnknownProject(
            f"{project[:80]!r} is not a project's name: use a-z, 0-9 and _, starting with a letter, at most 40"
        )
    return project
