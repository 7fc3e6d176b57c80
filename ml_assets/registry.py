"""Plug-ins by name: settings with a `type`, listed in their folder's `__init__.py`, chosen in YAML.

A plug-in is a `Plugin` subclass in a file named as its `type`; its typed fields are the YAML options, its methods the
behaviour. A contract test runs over all that are registered.
"""

from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from ml_assets.errors import InvalidValue
from ml_assets.errors import unknown as sentence


class Settings(BaseModel):
    """Typed options of a part, as they stand in the YAML. Unknown options are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Plugin(Settings):
    """Something that can be chosen by its `type`."""

    name_in_yaml: ClassVar[str]

    @property
    def type(self) -> str:
        """The word that chooses it in the YAML."""
        return self.name_in_yaml


P = TypeVar("P", bound=Plugin)


class Registry(Generic[P]):
    """The plug-ins of one kind.

    Args:
        kind: What they are called in messages, such as `source`.
        classes: All of them.
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
        """A plug-in from what stands in the YAML: `name`, or a mapping with `type: name` and options."""
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
        """The annotation of a settings field that holds one plug-in of this kind."""
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
