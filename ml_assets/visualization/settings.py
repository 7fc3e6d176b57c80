"""The options of the visualization stage, under `visualization` in the YAML."""

from pydantic import Field

from ml_assets.registry import Settings


class VisualizationSettings(Settings):
    """How much of the dataset goes into the report."""

    max_characters: int = Field(default=2000, ge=1)
    """How much of each item is shown, in the modality's unit (text: characters). Search sees as much as is shown."""

    sample_limit: int = Field(default=20_000, ge=1)
    """How many items the page shows at most: first those whose prediction differs from their label, then labelled ones.
    Counts always cover the whole dataset."""

    page_megabytes: float = Field(default=16, gt=0, le=1000)
    """Most megabytes of the items on the page, which includes pictures and sounds; items that do not fit are left out, as
    with `sample_limit`."""
