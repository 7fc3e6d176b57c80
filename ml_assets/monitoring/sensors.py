"""Monitoring runs on a schedule."""

import dagster as dg

from ml_assets.monitoring.assets import DAYS
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.records import now
from ml_assets.resources import key

CHAIN = ["inference_log", "profiles", "drift", "live_accuracy", "uncertain_predictions"]


def monitoring_schedules(
    project: str, settings: MonitoringSettings
) -> tuple[list[dg.ScheduleDefinition], list[dg.JobDefinition]]:
    """The job `monitor_<project>` and the schedule that runs it for today."""
    job = dg.define_asset_job(
        f"monitor_{project}",
        selection=[key(project, noun) for noun in CHAIN],
        partitions_def=DAYS,
        tags={"ml_assets/project": project},
        description="Reads the endpoint's log, profiles the day, measures drift and accuracy, sends uncertain predictions to people.",
    )

    @dg.schedule(
        name=f"monitor_{project}",
        job=job,
        cron_schedule=settings.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def monitor(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Today's partition."""
        at = context.scheduled_execution_time or now()
        return dg.RunRequest(partition_key=f"{at:%Y-%m-%d}", run_key=at.isoformat())

    return [monitor], [job]
