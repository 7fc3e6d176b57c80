"""Everything that is registered, and the least that each plug-in with required options must be told.

What stands here of options counts for all plug-ins; one whose required option has another name says `Field(examples=[…])`.
"""

from collections.abc import Iterable
from typing import Any

from ml_assets.collection.sources import SOURCES
from ml_assets.modalities import MODALITIES, PARTS
from ml_assets.monitoring.monitors import MONITORS
from ml_assets.registry import Plugin, Registry
from ml_assets.tasks import TASKS
from ml_assets.training.architectures import ARCHITECTURES

REGISTRIES: tuple[Registry[Any], ...] = (MODALITIES, PARTS, TASKS, SOURCES, ARCHITECTURES, MONITORS)
NEEDED: dict[str, dict[str, Any]] = {
    "classes": {"classes": ["one", "two", "three"]},
    "name": {"name": "first"},
    "parts": {"parts": {"body": "text", "photo": "image", "price": "number", "kind": "category", "sold": "time"}},
    "path": {"path": "/tmp/nothing/*.txt"},
}


def everything() -> Iterable[tuple[Registry[Any], type[Plugin]]]:
    return ((registry, cls) for registry in REGISTRIES for cls in registry.classes.values())


def options(cls: type[Plugin]) -> dict[str, Any]:
    """The least that stands in a YAML for this plug-in."""
    needed = {name: field.examples for name, field in cls.model_fields.items() if field.is_required()}
    found = {k: v for name, own in needed.items() for k, v in (NEEDED.get(name) or {name: (own or [None])[0]}).items()}
    return {"type": cls.name_in_yaml, **found}
