"""Runs that Dagster holds for going on though their process died: marked as failed, or they would hold up others for ever.

Dagster itself notices a dead run only as long as the code server lives that started it.
"""

import dagster as dg
import psutil

GOING = [
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def boot_id() -> str:
    """Changes when the machine starts anew, so that a pid from before it is known as dead."""
    return str(int(psutil.boot_time()))


def fail_runs_of_dead_processes(instance: dg.DagsterInstance, project: str) -> list[str]:
    """Mark runs of the project as failed whose process died, whoever started them; return their ids."""
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
    """The number of the process that executes the run, 0 if none is known yet, and a time when it had it."""
    if pid := run.tags.get("ml_assets/pid"):
        return int(pid), created if run.tags.get("ml_assets/boot") == boot_id() else 0.0
    # a run that Dagster launched: its process says so itself
    for entry in reversed(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        event = entry.dagster_event
        number = event.engine_event_data.metadata.get("pid") if event else None
        if number is not None:
            return int(str(number.value)), entry.timestamp
    return 0, created


def _alive(pid: int, since: float) -> bool:
    """Whether the process that had this number then (seconds since 1970) still runs; numbers are given out again."""
    try:
        process = psutil.Process(pid)
        # two seconds: the system knows when it started no better
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() < since + 2)
    except psutil.NoSuchProcess:
        return False
