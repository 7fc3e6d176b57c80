"""The options of the monitoring stage."""

from pydantic import Field, field_validator

from ml_assets.errors import InvalidValue
from ml_assets.monitoring.monitors import InputDrift, MonitorField, PredictionDrift
from ml_assets.registry import Settings


class UncertainSettings(Settings):
    """Which predictions go back to annotators."""

    per_day: int = Field(20, ge=0, le=10_000)
    """Maximum number of predictions that are sent back on one day (UTC); 0 sends none."""
    below: float = Field(0.6, ge=0, le=1)
    """Only predictions with a confidence below this count as uncertain."""


class MonitoringSettings(Settings):
    """How the traffic is monitored, and which predictions go back to annotators."""

    monitors: tuple[MonitorField, ...] = (InputDrift(), PredictionDrift())
    """What is compared with the reference: `input_drift`, `prediction_drift`, or mappings with `type` and thresholds."""
    window_days: int = Field(7, ge=1, le=366)
    """Number of days (UTC, today included) whose traffic is compared with the reference."""
    minimum_rows: int = Field(100, ge=1)
    """Minimum number of predictions in the window for a verdict."""
    uncertain: UncertainSettings = UncertainSettings()
    """The predictions that go back to annotators."""
    schedule: str = "0 * * * *"
    """When monitoring runs, as cron text in UTC: hourly by default."""

    @field_validator("monitors")
    @classmethod
    def _each_once(cls, monitors: tuple[MonitorField, ...]) -> tuple[MonitorField, ...]:
        names = [monitor.type for monitor in monitors]
        for name in names:
            if names.count(name) > 1:
                raise InvalidValue(f"the monitor {name!r} stands {names.count(name)} times in monitors: name each once")
        return monitors

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str) -> str:
        # only the number of fields is checked here; Dagster, which is not imported here, checks the rest
        if len(schedule.split()) != 5 and not schedule.startswith("@"):
            raise InvalidValue(
                f"the schedule {schedule!r} is not cron text: write five fields, such as '0 * * * *' for every hour"
            )
        return schedule
