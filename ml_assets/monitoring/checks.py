"""What warns while a model serves. None of these blocks: a person decides."""

import dagster as dg

from ml_assets.monitoring.drift import verdict
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.resources import Workspace, key
from ml_assets.store import quote
from ml_assets.training.evaluation import serving_model


def monitoring_checks(project: str, settings: MonitoringSettings) -> list[dg.AssetChecksDefinition]:
    """The checks of the monitoring stage."""

    @dg.asset_check(asset=key(project, "drift"))
    def not_drifted(workspace: Workspace) -> dg.AssetCheckResult:
        """The traffic is like the data on which the serving model was tested."""
        store = workspace.store(project)
        model, table = serving_model(store), store.table("drift")
        newest = max(table.read(["day"], f"model = {quote(model or '')}")["day"].to_pylist(), default=None)
        found = table.read(where=f"model = {quote(model or '')} AND day = {quote(newest or '')}")
        drifted, sentence = verdict(found)
        return dg.AssetCheckResult(passed=not drifted, severity=dg.AssetCheckSeverity.WARN, description=sentence)

    @dg.asset_check(asset=key(project, "inference_log"))
    def every_line_readable(workspace: Workspace) -> dg.AssetCheckResult:
        """No line of the endpoint's files had to be set aside."""
        bad = sorted(path.name for path in (workspace.home / "inference" / project).glob("*.bad"))
        return dg.AssetCheckResult(
            passed=not bad, severity=dg.AssetCheckSeverity.WARN, description=", ".join(bad) or "all lines are readable"
        )

    return [not_drifted, every_line_readable]
