"""Marks Dagster runs whose process died as failed, because they would otherwise block other runs for ever.

Dagster itself detects a dead run only as long as the code server that started it still runs.
"""

import math

import dagster as dg
import psutil

from ml_assets.state import processes

GOING = [
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def boot_id() -> str:
    """The id and the time of the machine's current boot, as text; process ids from an earlier boot are known to be dead.

    The kernel's boot time changes when the clock is set, and with it the start times of all processes.
    """
    return f"{processes.boot_id()} {psutil.boot_time():.0f}"


def fail_runs_of_dead_processes(instance: dg.DagsterInstance, project: str) -> list[str]:
    """Mark the project's runs whose process died as failed, and return their ids."""
    filters = dg.RunsFilter(tags={"ml_assets/project": project}, statuses=GOING)
    failed = []
    for record in instance.get_run_records(filters=filters):
        run = record.dagster_run
        pid, since = _process_of(instance, run, record.create_timestamp.timestamp())
        if pid and not _alive(pid, since):
            instance.report_run_failed(run, f"its process {pid} died")
            failed.append(run.run_id)
    return failed


def _process_of(instance: dg.DagsterInstance, run: dg.DagsterRun, created: float) -> tuple[int, float]:
    """The id of the process that executes the run, 0 if unknown, and a time at which it ran, in seconds since boot."""
    if pid := run.tags.get("ml_assets/pid"):
        boot, _, began = run.tags.get("ml_assets/boot", "").rpartition(" ")
        return int(pid), created - float(began) if boot.replace("-", "") == processes.boot_id() else -math.inf
    # a run that Dagster launched: its process logs its own id
    for entry in reversed(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        event = entry.dagster_event
        number = event.engine_event_data.metadata.get("pid") if event else None
        if number is not None:
            return int(str(number.value)), entry.timestamp - psutil.boot_time()
    return 0, created


def _alive(pid: int, since: float) -> bool:
    """Whether the process that had this id at that time (seconds since boot) still runs; ids are reused by others."""
    process = processes.living(pid)
    # two seconds: the times of the run's records are not more exact
    return process is not None and processes.began(process) < since + 2
