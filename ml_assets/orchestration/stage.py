"""All that one stage has in a project; each stage's `definitions` makes one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

Probe = Callable[[], str | None]
"""Asks the outside world what is new for an asset: a few words, or None."""


@dataclass(frozen=True)
class Stage:
    """The definitions of one stage in one project.

    Args:
        assets: What it makes.
        checks: What must hold of it.
        sensors: What sees that something new waits.
        schedules: What runs by the clock.
        jobs: What is started by hand.
        probes: Of assets that are made from the outside world, by noun: what is new there.
        partitions: Of partitioned assets, by noun: the partitions whose data changed.
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
        """What Dagster loads of it."""
        return dg.Definitions(
            assets=[*self.assets],
            asset_checks=[*self.checks],
            sensors=[*self.sensors],
            schedules=[*self.schedules],
            jobs=[*self.jobs],
        )
