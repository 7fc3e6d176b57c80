"""`ml-assets new`: creates a project's YAML with every stage, to fill in, through Dagster's scaffolder `dg`."""

import os
import subprocess
import sys
from pathlib import Path

from ml_assets import settings
from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.orchestration import examples
from ml_assets.state.names import PROJECT_NAME

CHECKOUT = Path(__file__).resolve().parents[2]


class ProjectExists(MLAssetsError, ValueError):
    """A project or example of that name exists already."""


class ScaffoldFailed(MLAssetsError, RuntimeError):
    """`dg` could not create the project; the message contains its last line of output."""


def scaffold(name: str) -> Path:
    """Create the project's folder with its `defs.yaml`, and return the path of that file.

    Raises:
        ProjectExists: There is one of that name; it is not changed.
        ValueError: The name cannot be a project's.
    """
    if not PROJECT_NAME.fullmatch(name):
        raise InvalidValue(f"{name!r} cannot be a project's name: use a-z, 0-9 and _, starting with a letter, at most 40")
    path = settings.DEFS / name / "defs.yaml"
    if path.parent.exists():
        raise ProjectExists(f"there is a project {name!r} already: choose another name, or edit {path}")
    if name in examples.NAMES:
        raise ProjectExists(f"{name!r} is the name of an example that comes along: choose another name")
    if "ML_ASSETS_DEFS" in os.environ:  # dg knows the checkout's own folder only
        return settings.write_new(path.parent)
    dg = Path(sys.executable).with_name("dg")
    command = [str(dg), "scaffold", "defs", settings.COMPONENT, name]
    environment = {**os.environ, "VIRTUAL_ENV": str(dg.parents[1])}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode or not path.is_file():
        raise ScaffoldFailed(f"dg could not make the project: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return path
