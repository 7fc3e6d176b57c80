"""The options of the deployment stage."""

from pathlib import PurePosixPath

from pydantic import Field, field_validator

from ml_assets.collection.sources.table import Content
from ml_assets.errors import InvalidValue
from ml_assets.registry import Settings

TABLES = (".csv", ".tsv", ".parquet", ".jsonl")


class BatchSettings(Settings):
    """What is predicted in bulk, and where the predictions go."""

    input: str | None = None
    """A table (.csv, .tsv, .parquet, .jsonl) to predict. Without it: the project's samples that have no label yet."""
    content: Content = "text"
    """The column of the table that holds the content, or a list of those that hold the parts of mixed samples."""
    output: str | None = None
    """File for the table with its predictions, in the format of its ending. Without it they are only kept as an asset."""

    @field_validator("input", "output")
    @classmethod
    def _table(cls, path: str | None) -> str | None:
        if path is not None and PurePosixPath(path).suffix.lower() not in TABLES:
            raise InvalidValue(f"{path!r} is not a table: its name must end in one of {', '.join(TABLES)}")
        return path


class DeploymentSettings(Settings):
    """How the model is served."""

    max_batch: int = Field(256, ge=1, le=4096)
    """Maximum number of samples in one request."""
    max_characters: int = Field(100_000, ge=1, le=10_000_000)
    """Maximum length of one sample, in characters."""
    requests_per_minute: int = Field(30_000, ge=1)
    """Maximum number of requests with one key to each worker of the endpoint: all at once, or evenly. More get status 429."""
    batch: BatchSettings = BatchSettings()
    """Prediction in bulk."""
    wait_seconds: float = Field(120, gt=0, le=3600)
    """How long a deployment waits until every worker of the endpoint serves the model, in seconds."""
