"""Writes pictures and sounds as files below Label Studio's folder of local files, which only logged-in users can see."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ml_assets.modalities import Modality
from ml_assets.state.files import write_whole
from ml_assets.state.home import home
from ml_assets.state.names import named

ADDRESS = "/data/local-files/?d="


def folder(project: str) -> Path:
    """The folder of the project's media files. Raises `UnknownProject`."""
    return home() / "media" / named(project)


def shown(project: str, items: Mapping[str, Any], modality: Modality) -> dict[str, str]:
    """The field `content` of Label Studio tasks by sample id: the text itself, or the address of the picture or sound.

    Missing files are written.
    """
    return {key: modality.label_studio_content(item, partial(_written, project, key)) for key, item in items.items()}


def _written(project: str, key: str, content: bytes, ending: str) -> str:
    """Write a sample's file if it is missing, and return its address."""
    path = folder(project) / f"{key}{ending}"
    if not path.exists():
        write_whole(path, content)
    return f"{ADDRESS}{project}/{path.name}"
