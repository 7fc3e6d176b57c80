"""The options of the collection stage."""

from collections import Counter

from pydantic import Field, field_validator, model_validator

from ml_assets.collection.sources import SourceField
from ml_assets.modalities import ModalityField
from ml_assets.registry import Settings


class CollectionSettings(Settings):
    """Where samples come from, and which are accepted."""

    modality: ModalityField
    """What the samples are: `text`."""
    sources: tuple[SourceField, ...] = ()
    """The sources, each with a `type` and a `name`. Records pushed to the API come in without being named here."""
    min_length: float = Field(1, ge=0)
    """Shorter samples are set aside (text: characters)."""
    max_length: float = Field(100_000, gt=0)
    """Longer samples are set aside (text: characters)."""
    test_share: float = Field(0.2, ge=0, lt=1)
    """Share of samples that the hash puts into the test split, where the source does not fix it."""
    poll_seconds: int = Field(30, ge=5)
    """How often the sources are looked at for something new."""

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: tuple[SourceField, ...]) -> tuple[SourceField, ...]:
        twice = [name for name, count in Counter(s.name for s in sources).items() if count > 1]
        if twice:
            raise ValueError(f"two sources have the name {twice[0]!r}: give each its own")
        reserved = {"upload", "production"} & {s.name for s in sources}
        if reserved:
            raise ValueError(f"a source cannot have the name {sorted(reserved)[0]!r}: choose another")
        return sources

    @model_validator(mode="after")
    def _bounds(self) -> "CollectionSettings":
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length:g} is above max_length {self.max_length:g}")
        return self
