"""The Dagster schedule on which monitoring runs."""

from typing import Any

import dagster as dg

from ml_assets.monitoring.assets import DAYS
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.monitoring.traffic import stale_days
from ml_assets.orchestration.resources import key
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore

CHAIN = ["inference_log", "profiles", "drift", "live_accuracy", "uncertain_predictions"]


def monitoring_schedules(project: str, settings: MonitoringSettings) -> tuple[list[dg.ScheduleDefinition], list[Any]]:
    """The schedule and the job `monitor_<project>`, which run monitoring for today."""
    job = dg.define_asset_job(
        f"monitor_{project}",
        selection=[key(project, noun) for noun in CHAIN],
        partitions_def=DAYS,
        tags={"ml_assets/project": project},
        description="Reads the log, profiles the day, measures drift and accuracy, sends uncertain predictions to people.",
    )

    @dg.schedule(
        name=f"monitor_{project}",
        job=job,
        cron_schedule=settings.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def monitor(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        """Request runs for today's partition, and for earlier days that got predictions after their profile was made."""
        at = context.scheduled_execution_time or now()
        days = {f"{at:%Y-%m-%d}", *stale_days(ProjectStore(project), at)}
        return [dg.RunRequest(partition_key=day, run_key=f"{at.isoformat()} {day}") for day in sorted(days)]

    return [monitor], [job]
