"""What must hold of what serves."""

import dagster as dg

from ml_assets.deployment import heartbeat
from ml_assets.deployment.bento import model_folder_of
from ml_assets.deployment.ledger import history, serving
from ml_assets.records import now
from ml_assets.resources import Workspace, key
from ml_assets.training.trained import TrainedModel


def deployment_checks(project: str) -> list[dg.AssetChecksDefinition]:
    """The checks of the deployment stage."""

    @dg.asset_check(asset=key(project, "bento"), blocking=True)
    def answers_as_trained(workspace: Workspace) -> dg.AssetCheckResult:
        """The model inside the newest Bento gives the answers on its stored examples that it gave when it was trained."""
        rows = workspace.store(project).table("bentos").read().to_pylist()
        if not rows:
            return dg.AssetCheckResult(passed=False, description="there is no Bento")
        tag = max(rows, key=lambda row: row["at"])["id"]
        TrainedModel.load(model_folder_of(tag)).check_examples()
        return dg.AssetCheckResult(passed=True, metadata={"bento": tag})

    @dg.asset_check(asset=key(project, "deployment"))
    def every_worker_serves_it(workspace: Workspace) -> dg.AssetCheckResult:
        """Each living worker of the endpoint reports the deployment that the ledger names as live; at most one is live."""
        store = workspace.store(project)
        live, workers = serving(store), heartbeat.live(workspace.home / "serving", now())
        served = [w.projects[project].deployment if project in w.projects else None for w in workers]
        count = sum(d.state == "live" for d in history(store))
        passed = live is not None and count == 1 and bool(served) and set(served) == {live.id}
        return dg.AssetCheckResult(
            passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata={"workers": len(workers), "live deployments": count}
        )

    return [answers_as_trained, every_worker_serves_it]
