"""The options of the features stage."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from ml_assets.errors import InvalidValue
from ml_assets.registry import Settings

SET_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class FeatureSetSettings(Settings):
    """What one model sees of each sample, and which classes it tells apart."""

    encoder: str | None = Field(None, min_length=1)
    """The encoder, which turns samples into vectors: by default the modality's (`minilm` for texts), or a model by name or
    folder.
    """
    inputs: tuple[str, ...] = Field(("content",), min_length=1)
    """The network's inputs: `content` for the whole sample, or parts of mixed samples. The others count as missing."""
    keep: tuple[str, ...] | None = None
    """The classes to train on; all of them by default."""
    merge: dict[str, tuple[str, ...]] = {}
    """Classes that become one, by the name of the merged class: `vehicles: [rec.autos, rec.motorcycles]`."""

    @model_validator(mode="after")
    def _once(self) -> "FeatureSetSettings":
        merged = [name for names in self.merge.values() for name in names]
        twice = sorted({name for name in merged if merged.count(name) > 1})
        if twice:
            raise InvalidValue(f"the class {twice[0]!r} is merged twice")
        return self

    def targets(self, classes: tuple[str, ...]) -> dict[str, str]:
        """The class that the model learns for each labelled class; dropped classes are left out.

        Raises `ValueError` with the choices if a name is not a class of the task.
        """
        named = [*(self.keep or ()), *(name for names in self.merge.values() for name in names)]
        for name in named:
            if name not in classes:
                raise InvalidValue(f"features names the class {name!r}: choose one of {', '.join(classes)}")
        new_name = {old: new for new, olds in self.merge.items() for old in olds}
        kept = classes if self.keep is None else self.keep
        return {name: new_name.get(name, name) for name in classes if name in kept}


class FeaturesSettings(FeatureSetSettings):
    """What models see of each sample, and which classes they tell apart."""

    sets: dict[str, Annotated[FeatureSetSettings, BeforeValidator(lambda options: options or {})]] = {}
    """Several feature sets by name, each with a model of its own: the options above, overridden by those given here."""

    @model_validator(mode="after")
    def _named(self) -> "FeaturesSettings":
        for name in self.sets:
            if not SET_NAME.fullmatch(name):
                raise InvalidValue(f"the feature set {name!r} needs another name: use a-z, 0-9 and _, starting with a letter")
        seen: dict[str, str] = {}
        for name, options in self.each().items():
            if (other := seen.setdefault(options.model_dump_json(), name)) != name:
                raise InvalidValue(f"the feature sets {other!r} and {name!r} are the same")
        return self

    def each(self) -> dict[str, FeatureSetSettings]:
        """The options of each feature set by name; a project that names none has one, under the empty name."""
        common: dict[str, Any] = {name: getattr(self, name) for name in FeatureSetSettings.model_fields}
        if not self.sets:
            return {"": FeatureSetSettings(**common)}
        return {name: FeatureSetSettings(**common | dict(options)) for name, options in self._given()}

    def encoders(self, default: str) -> list[str]:
        """Names of all encoders that are used, `default` where none is set; the first is that of the label queue."""
        return list(dict.fromkeys(name or default for name in [self.encoder, *(o.encoder for o in self.each().values())]))

    def _given(self) -> list[tuple[str, dict[str, Any]]]:
        """Name of each feature set and the options that it overrides."""
        return [(name, {k: getattr(s, k) for k in s.model_fields_set}) for name, s in self.sets.items()]
