"""`Stage`, the Dagster definitions of one stage of a project, which each stage's `definitions` function returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

Probe = Callable[[], str | None]
"""Function that looks for new data outside of Dagster: returns a few words about it, or None."""


@dataclass(frozen=True)
class Stage:
    """The definitions of one stage in one project.

    Args:
        assets: The assets of the stage.
        checks: Checks of these assets.
        sensors: Sensors that request runs when there is new data.
        schedules: Schedules that request runs at fixed times.
        jobs: Jobs that are started by hand.
        probes: For each asset (by name) that is made from data outside of Dagster, a function that reports new data.
        partitions: For each partitioned asset (by name), a function that lists the partitions whose data changed.
    """

    assets: Sequence[dg.AssetsDefinition]
    checks: Sequence[dg.AssetChecksDefinition]
    sensors: Sequence[dg.SensorDefinition] = ()
    schedules: Sequence[dg.ScheduleDefinition] = ()
    jobs: Sequence[Any] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    partitions: Mapping[str, Callable[[], list[str]]] = field(default_factory=dict)

    @property
    def definitions(self) -> dg.Definitions:
        """The stage as one `Definitions` object for Dagster."""
        return dg.Definitions(
            assets=[*self.assets],
            asset_checks=[*self.checks],
            sensors=[*self.sensors],
            schedules=[*self.schedules],
            jobs=[*self.jobs],
        )
