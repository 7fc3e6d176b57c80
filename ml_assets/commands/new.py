"""`ml-assets new`: a project's YAML with every stage, to fill in."""

import os
from pathlib import Path

from ml_assets import settings
from ml_assets.store import PROJECT_NAME

TEMPLATE = """\
# A machine-learning project: the seven attributes are the seven stages.
# Every option is described in docs/reference.md; a wrong one is refused with the line and the choices.
type: {component}
attributes:
  collection:
    modality: text
    sources:
      - type: table # CSV, TSV, Parquet or JSON lines, or a folder of them
        name: first
        path: $ML_ASSETS_HOME/data/{name}/*.csv
        content: text
  labeling:
    task:
      type: single_choice
      classes: [first class, second class]
    question: What is this about?
    queue:
      size: 100
  features:
    encoder: minilm
  training:
    architecture: mlp
    trials: 3
    minimum: {{}}
  deployment: {{}}
  monitoring: {{}}
"""


class ProjectExists(ValueError):
    """There is a project of that name already."""


def scaffold(name: str, defs: Path | None = None) -> Path:
    """Make the folder and its `defs.yaml`, whole or not at all; return its path.

    Raises:
        ProjectExists: There is one of that name; it is left as it is.
        ValueError: The name cannot be a project's.
    """
    if not PROJECT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a project's name: use a-z, 0-9 and _, starting with a letter, at most 40")
    folder = (defs or settings.DEFS) / name
    if folder.exists():
        raise ProjectExists(f"there is a project {name!r} already: choose another name, or edit {folder / 'defs.yaml'}")
    folder.mkdir(parents=True)
    part = folder / ".defs.yaml.part"
    part.write_text(TEMPLATE.format(component=settings.COMPONENT, name=name), encoding="utf-8")
    os.replace(part, folder / "defs.yaml")
    return folder / "defs.yaml"
