"""What holds of every plug-in: register and you are tested."""

import inspect
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from ml_assets.registry import Plugin, Registry

from .plugins import REGISTRIES, everything, options

ALL = pytest.mark.parametrize(
    ("registry", "cls"), [pytest.param(r, c, id=f"{r.kind}-{c.name_in_yaml}") for r, c in everything()]
)
EACH = pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)


def base_of(registry: Registry[Any]) -> Any:
    """The class that all plug-ins of the kind share: the last before `Plugin`."""
    first = next(iter(registry.classes.values()))
    return [cls for cls in first.__mro__ if issubclass(cls, Plugin)][-2]


@ALL
def test_it_says_what_it_is(registry: Registry[Any], cls: type[Plugin]) -> None:
    doc = cls.__dict__.get("__doc__") or ""
    assert doc.strip().splitlines()[0].endswith(".")
    for name, field in cls.model_fields.items():
        assert (field.description or "").strip(), f"{name} has no docstring under it"
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name in base_of(registry).__abstractmethods__:
            assert method.__doc__, f"{name} does not say what it does"


@ALL
def test_its_file_is_named_as_its_type(registry: Registry[Any], cls: type[Plugin]) -> None:
    """The folder listing is the catalogue."""
    assert Path(inspect.getfile(cls)).stem == cls.name_in_yaml
    assert registry[cls.name_in_yaml] is cls
    assert registry.parse(options(cls)).type == cls.name_in_yaml


@ALL
def test_it_is_complete(registry: Registry[Any], cls: type[Plugin]) -> None:
    assert not inspect.isabstract(cls), f"{', '.join(cls.__abstractmethods__)} are not there"
    assert issubclass(cls, base_of(registry))


@ALL
def test_its_defaults_are_valid_and_say_the_same_when_written_and_read(registry: Registry[Any], cls: type[Plugin]) -> None:
    made = registry.parse(options(cls))
    written = json.loads(made.model_dump_json())
    assert registry.parse({"type": cls.name_in_yaml, **written}) == made
    assert registry.parse(made) is made
    assert hash(made.model_dump_json()) == hash(registry.parse(options(cls)).model_dump_json())


@ALL
def test_it_refuses_what_it_does_not_know(registry: Registry[Any], cls: type[Plugin]) -> None:
    with pytest.raises(ValidationError) as caught:
        registry.parse({**options(cls), "nonsense": 1})
    [error] = caught.value.errors()
    assert error["loc"] == ("nonsense",)
    assert error["msg"] == f"unknown option 'nonsense': choose one of {', '.join(cls.model_fields) or '(it has none)'}"


@ALL
def test_it_cannot_be_changed_once_made(registry: Registry[Any], cls: type[Plugin]) -> None:
    made = registry.parse(options(cls))
    for name in cls.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, name, getattr(made, name))


@EACH
def test_nonsense_is_one_sentence_with_the_choices(registry: Registry[Any]) -> None:
    choices = f"choose one of {', '.join(sorted(registry))}"
    for value in ("nonsense", {"type": "nonsense"}):
        with pytest.raises(ValueError, match="unknown") as caught:
            registry.parse(value)
        assert str(caught.value) == f"unknown {registry.kind} 'nonsense': {choices}"
    for nothing in ({}, {"name": "x"}, [], None, 5):
        with pytest.raises(ValueError, match="needs a type") as caught:
            registry.parse(nothing)
        assert str(caught.value) == f"{'an' if registry.kind[0] in 'aeiou' else 'a'} {registry.kind} needs a type: {choices}"


@EACH
def test_the_schema_accepts_what_it_reads_and_nothing_else(registry: Registry[Any]) -> None:
    """Editors and `dg check yaml` check against it."""
    adapter: TypeAdapter[Any] = TypeAdapter(registry.field(base_of(registry)))
    schema = adapter.json_schema()
    for cls in registry.classes.values():
        jsonschema.validate(options(cls), schema)
        assert adapter.validate_python(options(cls)).type == cls.name_in_yaml
        if options(cls).keys() == {"type"}:
            jsonschema.validate(cls.name_in_yaml, schema)
        for wrong in (5, {"type": "nonsense"}, {**options(cls), "nonsense": 1}, "nonsense"):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, schema)


@EACH
def test_a_plug_in_of_another_kind_is_refused(registry: Registry[Any]) -> None:
    for other in REGISTRIES:
        if other is not registry:
            cls = next(iter(other.classes.values()))
            with pytest.raises(ValueError, match=f"{registry.kind}"):
                registry.parse(other.parse(options(cls)))
