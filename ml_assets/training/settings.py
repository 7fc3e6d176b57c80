"""The options of the training stage."""

from pydantic import Field, field_validator, model_validator

from ml_assets.errors import InvalidValue
from ml_assets.registry import Settings
from ml_assets.training.architectures import MLP, Architecture, ArchitectureField


class TrainingSettings(Settings):
    """How models are made, and what one must reach before it may serve."""

    architecture: ArchitectureField = MLP()
    """The network and its hyper-parameters: `mlp`, or a mapping with `type` and any of its options."""
    compare: tuple[ArchitectureField, ...] = ()
    """Other architectures, tuned and trained beside it on every feature set."""
    serve: str | None = None
    """Which of several models may serve, as `architecture`, or `feature_set/architecture` where there are feature sets side by
    side. By default the one that does best on the validation samples."""
    trials: int = Field(3, ge=1, le=1000)
    """Trials of each study. The first one uses the architecture's values as they stand."""
    minutes: float | None = Field(None, gt=0)
    """Time that each study may take at most, in minutes: the trial that goes on then is stopped."""
    prune: bool = True
    """Whether trials that do worse than half of the earlier ones did at the same epoch are ended early."""
    validation_share: float = Field(0.2, gt=0, lt=1)
    """Share of the labelled training samples on which trials are compared. Tuning never sees the test split."""
    seed: int = Field(0, ge=0)
    """Seed of initialisation, batches and trials."""
    minimum: dict[str, float] = {}
    """Metrics a model must reach on the test split before it may be deployed, such as `macro_f1: 0.93`."""
    may_drop: float = Field(0.01, ge=0, lt=1)
    """How far the primary metric may fall below that of the model that serves."""

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """All architectures to train; the first is `architecture`."""
        return (self.architecture, *self.compare)

    @field_validator("minimum")
    @classmethod
    def _shares(cls, minimum: dict[str, float]) -> dict[str, float]:
        for name, value in minimum.items():
            if not 0 <= value <= 1:
                raise InvalidValue(f"the minimum of {name} is {value}: it must lie between 0 and 1")
        return minimum

    @model_validator(mode="after")
    def _once(self) -> "TrainingSettings":
        names = [architecture.type for architecture in self.architectures]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InvalidValue(f"the architecture {twice[0]!r} stands twice in architecture and compare")
        return self
