"""The options of the features stage."""

from typing import Literal

from pydantic import Field, model_validator

from ml_assets.registry import Settings


class FeaturesSettings(Settings):
    """What the model sees of each sample, and which classes it tells apart."""

    encoder: str = Field("minilm", min_length=1)
    """What turns samples into vectors: `minilm`, or any sentence-transformers model by name or folder."""
    inputs: tuple[Literal["embedding"], ...] = Field(("embedding",), min_length=1)
    """What goes into the network: `embedding`."""
    keep: tuple[str, ...] | None = None
    """The classes to train on; all of them by default."""
    merge: dict[str, tuple[str, ...]] = {}
    """Classes that become one, by its new name: `vehicles: [rec.autos, rec.motorcycles]`."""

    @model_validator(mode="after")
    def _once(self) -> "FeaturesSettings":
        merged = [name for names in self.merge.values() for name in names]
        twice = sorted({name for name in merged if merged.count(name) > 1})
        if twice:
            raise ValueError(f"the class {twice[0]!r} is merged twice")
        return self

    def targets(self, classes: tuple[str, ...]) -> dict[str, str]:
        """The class that the model learns for each labelled class; dropped classes are left out.

        Raises `ValueError` with the choices if a name is no class of the task.
        """
        named = [*(self.keep or ()), *(name for names in self.merge.values() for name in names)]
        for name in named:
            if name not in classes:
                raise ValueError(f"features names the class {name!r}: choose one of {', '.join(classes)}")
        new_name = {old: new for new, olds in self.merge.items() for old in olds}
        kept = classes if self.keep is None else self.keep
        return {name: new_name.get(name, name) for name in classes if name in kept}
