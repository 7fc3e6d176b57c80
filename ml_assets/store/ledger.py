"""The deployment ledger: which model served when, one row per deployment in the project's table `deployments`.

`requested` → `live` | `failed` | `replaced`. At most one row is live. The endpoint's workers load what is requested and
serve what is live; `rollout` moves a row from one to the other.
"""

import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import home
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

logger = logging.getLogger("ml_assets.endpoint")

State = Literal["requested", "live", "failed", "replaced"]


class UnknownDeployment(MLAssetsError, LookupError):
    """The ledger has no deployment with this id."""


@dataclass(frozen=True)
class Deployment:
    """One deployment of a model: a row of the ledger.

    Args:
        id: `<project>-d<n>`, n counting up.
        model: Version of the model, such as `newsgroups-3`.
        bento: Tag of the Bento, `name:version`.
        state: `requested`, `live`, `failed` or `replaced`.
        reason: Why it failed or was replaced.
        checks: The checks that it passed, as JSON.
    """

    id: str
    model: str
    bento: str
    state: State
    reason: str | None
    checks: str | None
    requested_by: str
    requested_at: datetime
    live_at: datetime | None

    @property
    def number(self) -> int:
        """The number at the end of the id, `n` in `<project>-d<n>`."""
        return int(self.id.rsplit("-d", 1)[1])


def history(store: ProjectStore) -> list[Deployment]:
    """All deployments, the newest last; a damaged row is logged and left out."""
    found = []
    for row in store.table("deployments").read(list(Deployment.__annotations__)).to_pylist():
        if _is_whole(row, store.project):
            found.append(Deployment(**row))
        else:
            logger.warning("%s: the row %.60r of its deployment ledger is damaged and left out", store.project, row["id"])
    return sorted(found, key=lambda d: d.number)


def _is_whole(row: dict[str, Any], project: str) -> bool:
    words = all(isinstance(row[name], str) and row[name] for name in ("id", "model", "bento", "state"))
    return words and row["state"] in get_args(State) and re.fullmatch(rf"{project}-d[0-9]{{1,9}}", row["id"]) is not None


def serving(store: ProjectStore) -> Deployment | None:
    """The deployment that is live; None if there is none."""
    return live_of(history(store))


def serving_model(store: ProjectStore) -> str | None:
    """The version of the model that is live; None if there is none."""
    live = serving(store)
    return live.model if live else None


def wanted(store: ProjectStore) -> Deployment | None:
    """The deployment that workers should have loaded: the newest that is requested or live; None if there is none."""
    return wanted_of(history(store))


def live_of(deployments: list[Deployment]) -> Deployment | None:
    """The newest live deployment of the list; None if there is none."""
    return next((d for d in reversed(deployments) if d.state == "live"), None)


def wanted_of(deployments: list[Deployment]) -> Deployment | None:
    """The newest requested or live deployment of the list; None if there is none."""
    return next((d for d in reversed(deployments) if d.state in ("requested", "live")), None)


def version(store: ProjectStore) -> int | None:
    """A number that changes with every change of the ledger, None before the first; takes 0.3 ms, so that it can be polled."""
    import lance

    try:
        return int(lance.dataset(store.table("deployments").uri).version)
    except ValueError as error:
        if "was not found" in str(error):
            return None
        raise


def request(store: ProjectStore, model: str, bento: str, by: str, at: datetime, checks: str | None = None) -> str:
    """Add a requested deployment and return its id; older requests that are still open are marked as replaced."""
    with _lock(store):
        before = history(store)
        new_id = f"{store.project}-d{before[-1].number + 1 if before else 1}"
        new: dict[str, Any] = {"id": new_id, "model": model, "bento": bento, "state": "requested", "checks": checks,
                               "requested_by": by, "requested_at": at}  # fmt: skip
        stale = [
            vars(d) | {"state": "replaced", "reason": f"{new_id} was requested before this one was live"}
            for d in before
            if d.state == "requested"
        ]
        store.table("deployments").upsert(rows("deployments", [*stale, new]))
    return new_id


def mark(store: ProjectStore, deployment: str, state: State, at: datetime, reason: str | None = None) -> Deployment:
    """Set the state of a deployment, together with the changes to others that follow, in one commit; return it.

    One that becomes live replaces the live one. If a live one fails, the one before it becomes live again.
    Raises `UnknownDeployment`.
    """
    with _lock(store):
        before = {d.id: d for d in history(store)}
        if deployment not in before:
            raise UnknownDeployment(f"no deployment {deployment!r}: there are {', '.join(before) or 'none'}")
        row = before[deployment]
        changed = [vars(row) | {"state": state, "reason": reason, "live_at": at if state == "live" else row.live_at}]
        if state == "live":
            changed += [
                vars(d) | {"state": "replaced", "reason": f"replaced by {deployment}"}
                for d in before.values()
                if d.state == "live" and d.id != deployment
            ]
        elif row.state == "live" and state == "failed":
            changed += [
                vars(d) | {"state": "live", "reason": f"restored when {deployment} failed"}
                for d in before.values()
                if d.state == "replaced" and d.reason == f"replaced by {deployment}"
            ]
        store.table("deployments").upsert(rows("deployments", changed))
    return Deployment(**changed[0])


def _lock(store: ProjectStore) -> FileLock:
    """The lock of the ledger, so that two deployments at once do not take the same number."""
    folder: Path = home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"deployments-{store.project}.lock")
