"""The options of the collection stage."""

from collections import Counter

from pydantic import Field, field_validator, model_validator

from ml_assets.collection.sources import SourceField
from ml_assets.collection.sources.upload import Upload
from ml_assets.errors import InvalidValue
from ml_assets.modalities import ModalityField
from ml_assets.registry import Settings
from ml_assets.spool.speakers import PRODUCTION


class CollectionSettings(Settings):
    """Where samples come from, and which are accepted."""

    modality: ModalityField
    """What the samples are: `text`, `image`, `audio`, or `mixed` with its parts."""
    sources: tuple[SourceField, ...] = ()
    """The sources, each with a `type` and a `name`. Records pushed to the API come in without being named here."""
    min_length: float | None = Field(None, ge=0)
    """Shorter samples are set aside: by default below 1 character or part, a longer side of 8 pixels or 0.05 seconds."""
    max_length: float | None = Field(None, gt=0)
    """Longer samples are set aside: by default above 100,000 characters, 20,000 pixels or 3,600 seconds."""
    test_share: float = Field(0.2, ge=0, lt=1)
    """Share of samples that their hash puts into the test split, where the source does not fix the split."""
    refused_labels: float = Field(0.05, ge=0, lt=1)
    """Share of refused labels, among those that came with the data, above which a check warns."""
    poll_seconds: int = Field(30, ge=5)
    """Interval in which the sources are checked for new files, in seconds."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Minimum and maximum length of an accepted sample, in the modality's unit."""
        shortest, longest = self.modality.bounds
        return (
            shortest if self.min_length is None else self.min_length,
            longest if self.max_length is None else self.max_length,
        )

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: tuple[SourceField, ...]) -> tuple[SourceField, ...]:
        twice = [name for name, count in Counter(s.name for s in sources).items() if count > 1]
        if twice:
            raise InvalidValue(f"two sources have the name {twice[0]!r}: give each its own")
        reserved = {Upload.name_in_yaml, PRODUCTION} & {s.name for s in sources}
        if reserved:
            raise InvalidValue(f"a source cannot have the name {sorted(reserved)[0]!r}: choose another")
        return sources

    @model_validator(mode="after")
    def _parts(self) -> "CollectionSettings":
        parts = self.modality.input_names[1:]
        for source in self.sources:
            for name in content if isinstance(content := getattr(source, "content", ""), tuple) else ():
                if name not in parts:
                    choices = f"choose from {', '.join(parts)}" if parts else f"{self.modality.type} has none, name one column"
                    raise InvalidValue(f"the source {source.name!r} names the part {name!r} under content: {choices}")
        return self

    @model_validator(mode="after")
    def _bounds(self) -> "CollectionSettings":
        shortest, longest = self.bounds
        if shortest > longest:
            raise InvalidValue(f"min_length {shortest:g} is above max_length {longest:g}")
        return self
