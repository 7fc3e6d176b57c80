"""Dagster asset checks on the Bento, the deployment and the batch predictions."""

import json

import dagster as dg

from ml_assets.deployment import heartbeat
from ml_assets.deployment.bento import opened
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.state.clock import now
from ml_assets.store.ledger import history, serving
from ml_assets.tasks import InvalidLabel, Task


def deployment_checks(project: str, task: Task) -> list[dg.AssetChecksDefinition]:
    """The Dagster asset checks of the deployment stage."""

    @dg.asset_check(asset=key(project, "bento"), blocking=True)
    def answers_as_trained(workspace: Workspace) -> dg.AssetCheckResult:
        """The model in the newest Bento is the one that was made, and reproduces its stored predictions."""
        rows = workspace.store(project).table("bentos").read().to_pylist()
        if not rows:
            return dg.AssetCheckResult(passed=False, description="there is no Bento")
        newest = max(rows, key=lambda row: row["at"])
        opened(workspace.store(project), newest["id"], newest["model"]).check_examples()
        return dg.AssetCheckResult(passed=True, metadata={"bento": newest["id"]})

    @dg.asset_check(asset=key(project, "deployment"))
    def every_worker_serves_it(workspace: Workspace) -> dg.AssetCheckResult:
        """Each living worker of the endpoint serves the deployment that the ledger names as live; at most one is live."""
        store = workspace.store(project)
        live, workers = serving(store), heartbeat.live(workspace.home / "serving", now())
        served = [w.projects[project].deployment if project in w.projects else None for w in workers]
        count = sum(d.state == "live" for d in history(store))
        passed = live is not None and count == 1 and bool(served) and set(served) == {live.id}
        return dg.AssetCheckResult(
            passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata={"workers": len(workers), "live deployments": count}
        )

    @dg.asset_check(asset=key(project, "batch_predictions"))
    def of_the_serving_model(workspace: Workspace) -> dg.AssetCheckResult:
        """Every prediction was made by the model that serves, and is an answer that its classes allow."""
        store = workspace.store(project)
        live, rows = serving(store), store.table("batch_predictions").read(["model", "label"]).to_pylist()
        known = store.table("models").take([live.model], ["classes"])["classes"].to_pylist() if live else []
        own = task.model_copy(update={"classes": tuple(json.loads(known[0])) if known else ()})
        others = sum(live is None or row["model"] != live.model for row in rows)
        refused = sum(not _allowed(own, row["label"]) for row in rows)
        said = f"{len(rows)} predictions, {others} of another model, {refused} that its classes do not allow"
        return dg.AssetCheckResult(
            passed=not others and not refused, severity=dg.AssetCheckSeverity.WARN, description=said,
            metadata={"predictions": len(rows), "of others": others, "not allowed": refused},
        )  # fmt: skip

    return [answers_as_trained, every_worker_serves_it, of_the_serving_model]


def _allowed(task: Task, value: str) -> bool:
    """Whether the value is a valid answer to the task."""
    try:
        task.parse(task.answer(value))
    except InvalidLabel:
        return False
    return True
