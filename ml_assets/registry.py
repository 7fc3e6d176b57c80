"""Registries of plug-ins: classes of settings that are chosen by their `type` in the YAML.

A plug-in is a `Plugin` subclass in a file named as its `type`, listed in its folder's `__init__.py`; its typed fields are the
YAML options, its methods the behaviour. A contract test runs over all that are registered.
"""

from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from ml_assets.errors import InvalidValue
from ml_assets.errors import unknown as sentence


class Settings(BaseModel):
    """Base class of typed options in the YAML; unknown options are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Plugin(Settings):
    """Base class of the settings that the YAML chooses by their `type`."""

    name_in_yaml: ClassVar[str]

    @property
    def type(self) -> str:
        """The name that chooses this plug-in in the YAML."""
        return self.name_in_yaml


P = TypeVar("P", bound=Plugin)


class Registry(Generic[P]):
    """The plug-ins of one kind, by name.

    Args:
        kind: The name of the kind in messages, such as `source`.
        classes: The classes of all plug-ins.
    """

    def __init__(self, kind: str, *classes: type[P]):
        self.kind = kind
        self.classes = {cls.name_in_yaml: cls for cls in classes}

    def __iter__(self) -> Any:
        return iter(self.classes)

    def __getitem__(self, name: str) -> type[P]:
        if name not in self.classes:
            raise InvalidValue(f"unknown {self.kind} {name!r}: choose one of {', '.join(sorted(self.classes))}")
        return self.classes[name]

    def parse(self, value: Any) -> P:
        """Make a plug-in from its YAML value: a name, or a mapping with `type: name` and options. Raises `InvalidValue`."""
        if isinstance(value, tuple(self.classes.values())):
            return cast(P, value)
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, dict) or "type" not in value:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise InvalidValue(f"{article} {self.kind} needs a type: choose one of {', '.join(sorted(self.classes))}")
        cls, options = self[str(value["type"])], {k: v for k, v in value.items() if k != "type"}
        if unknown := [name for name in options if name not in cls.model_fields]:
            text = sentence("option", unknown[0], cls.model_fields)
            problem = PydanticCustomError("unknown_option", "{text}", {"text": text})
            raise ValidationError.from_exception_data(cls.__name__, [{"type": problem, "loc": (unknown[0],), "input": options}])
        return cls.model_validate(options)

    def field(self, base: type[P]) -> Any:
        """The pydantic annotation for a settings field that holds one plug-in of this kind."""
        options = [
            {
                **(schema := cls.model_json_schema()),
                "properties": {"type": {"const": name}, **schema.get("properties", {})},
                "required": ["type", *schema.get("required", [])],
            }
            for name, cls in self.classes.items()
        ]
        schema = {"anyOf": [{"type": "string", "enum": sorted(self.classes)}, *options]}
        return Annotated[SerializeAsAny[base], BeforeValidator(self.parse), WithJsonSchema(schema)]  # type: ignore[valid-type,misc]
