"""Options of the stage, as they stand in the YAML under `visualization`."""

from pydantic import Field

from ml_assets.registry import Settings


class VisualizationSettings(Settings):
    """How much of the dataset goes into the report."""

    max_characters: int = Field(default=2000, ge=1)
    """How much of each item is shown, in the modality's unit (text: characters). Search sees as much as is shown."""

    sample_limit: int = Field(default=20_000, ge=1)
    """How many items the page holds at most: what is predicted otherwise than it is labelled first, then labelled ones. Counts
    always cover the whole dataset."""

    page_megabytes: float = Field(default=16, gt=0, le=1000)
    """How large the items make the page at most, in megabytes. Pictures and sounds stand inside it, too; what has no room is
    left out, as with `sample_limit`."""
