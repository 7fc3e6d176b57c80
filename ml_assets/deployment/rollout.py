"""Puts a model into production: all workers load it, then all switch; if one cannot, the old model keeps serving."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from ml_assets.deployment import heartbeat
from ml_assets.deployment.heartbeat import Report
from ml_assets.errors import MLAssetsError
from ml_assets.state.clock import now
from ml_assets.state.home import home
from ml_assets.store import ProjectStore, ledger
from ml_assets.store.ledger import Deployment

POLL_SECONDS = 0.2


class DeploymentFailed(MLAssetsError, RuntimeError):
    """Raised when the new model does not serve and the old one still does; the message says why, in one sentence."""


def deploy(
    store: ProjectStore,
    model: str,
    bento: str,
    by: str,
    wait_seconds: float,
    at: datetime,
    progress: Callable[[str], None],
    checks: str | None = None,
    clock: Callable[[], datetime] = now,
) -> Deployment:
    """Deploy the model of a Bento and return its row of the ledger once every worker serves it.

    A model that is live already is left as it is. Raises `DeploymentFailed`; the ledger then records the failure.

    Args:
        store: The project's tables.
        model: The model's version.
        bento: Tag of its Bento.
        by: Who or what requested it.
        wait_seconds: Time limit for all workers together.
        at: Time of the request.
        progress: Called with one sentence per step.
        checks: The evaluation that it passed, as JSON, for the ledger.
        clock: Returns the current time in UTC.
    """
    deadline = time.monotonic() + wait_seconds
    serving = home() / "serving"
    if not heartbeat.live(serving, clock()):
        raise DeploymentFailed("the endpoint is not running: start it with ml-assets up")
    current = ledger.serving(store)
    if current is not None and (current.model, current.bento) == (model, bento):
        _wait(store, serving, current.id, deadline, clock, _serves)
        progress(f"{model} serves already ({current.id})")
        return current
    new = ledger.request(store, model, bento, by, at, checks)
    try:
        workers = _wait(store, serving, new, deadline, clock, _prepared)
        progress(f"{model} is loaded and checked in {workers} worker{'s'[: workers != 1]} ({new})")
        row = ledger.mark(store, new, "live", clock())
        workers = _wait(store, serving, new, deadline, clock, _serves)
        progress(f"{model} serves in {workers} worker{'s'[: workers != 1]}")
    except DeploymentFailed as error:
        if _row(store, new).state in ("requested", "live"):
            ledger.mark(store, new, "failed", clock(), str(error))
        raise
    return row


def as_cells(deployments: Sequence[Deployment]) -> list[tuple[str, str, str, str, str]]:
    """Id, model, state, request time and reason of each deployment, as table cells."""
    return [(d.id, d.model, d.state, f"{d.requested_at:%Y-%m-%d %H:%M}", d.reason or "") for d in deployments]


def _prepared(report: Report, project: str, deployment: str) -> bool:
    served = report.projects.get(project)
    return served is not None and deployment in served.prepared


def _serves(report: Report, project: str, deployment: str) -> bool:
    served = report.projects.get(project)
    return served is not None and served.deployment == deployment


def _wait(
    store: ProjectStore,
    serving: Path,
    deployment: str,
    deadline: float,
    clock: Callable[[], datetime],
    done: Callable[[Report, str, str], bool],
) -> int:
    """Wait until `done` holds for every live worker; return the number of workers. Raises `DeploymentFailed`."""
    while True:
        workers = heartbeat.live(serving, clock())
        behind = [w for w in workers if not done(w, store.project, deployment)]
        if workers and not behind:
            return len(workers)
        if reason := _trouble(workers, store.project, deployment):
            raise DeploymentFailed(reason)
        row = _row(store, deployment)
        if row.state not in ("requested", "live"):
            raise DeploymentFailed(f"{deployment} was given up: {row.reason}")
        if time.monotonic() > deadline:
            raise DeploymentFailed(
                f"{len(behind)} of {len(workers)} workers of the endpoint did not serve {row.model} in time: "
                f"processes {', '.join(str(w.pid) for w in behind)}"
                if workers
                else "the endpoint stopped while the model was deployed: start it with ml-assets up"
            )
        time.sleep(POLL_SECONDS)


def _trouble(workers: Sequence[Report], project: str, deployment: str) -> str | None:
    """The error of the first worker that cannot load the model; None if there is none."""
    for worker in workers:
        served = worker.projects.get(project)
        if served is not None and served.failed == deployment:
            return served.error or "a worker cannot load the model"
    return None


def _row(store: ProjectStore, deployment: str) -> Deployment:
    return next(d for d in ledger.history(store) if d.id == deployment)
