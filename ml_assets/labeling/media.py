"""Pictures and sounds for Label Studio: files below its folder of local files, which it shows only to who is logged in."""

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
    """Where the project's files are. Raises `UnknownProject`."""
    return home() / "media" / named(project)


def shown(project: str, items: Mapping[str, Any], modality: Modality) -> dict[str, str]:
    """What stands in the field `content` of a task, by sample id: texts as people read them, pictures and sounds as an address.

    Their files are written where they are not there yet.
    """
    return {key: modality.label_studio_content(item, partial(_written, project, key)) for key, item in items.items()}


def _written(project: str, key: str, content: bytes, ending: str) -> str:
    """The address of a sample's file, whose name ends so."""
    path = folder(project) / f"{key}{ending}"
    if not path.exists():
        write_whole(path, content)
    return f"{ADDRESS}{project}/{path.name}"
