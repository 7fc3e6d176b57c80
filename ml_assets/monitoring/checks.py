"""Dagster asset checks on the traffic of the serving model; all warn and none blocks."""

import dagster as dg

from ml_assets.monitoring.drift import verdict
from ml_assets.monitoring.live_accuracy import promised
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.monitoring.traffic import stale_days, undated
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.state.clock import now
from ml_assets.store import quote
from ml_assets.store.ledger import serving_model
from ml_assets.tasks import Task

ENOUGH = 20
"""Number of answers to predictions of one day below which there is no verdict on the accuracy."""


def monitoring_checks(project: str, settings: MonitoringSettings, task: Task) -> list[dg.AssetChecksDefinition]:
    """The Dagster asset checks of the monitoring stage."""

    @dg.asset_check(asset=key(project, "drift"))
    def not_drifted(workspace: Workspace) -> dg.AssetCheckResult:
        """The traffic is like the data on which the serving model was tested."""
        store = workspace.store(project)
        model, table = serving_model(store), store.table("drift")
        newest = max(table.read(["day"], f"model = {quote(model or '')}")["day"].to_pylist(), default=None)
        found = table.read(where=f"model = {quote(model or '')} AND day = {quote(newest or '')}")
        drifted, sentence = verdict(found, settings.minimum_rows)
        return dg.AssetCheckResult(passed=drifted is False, severity=dg.AssetCheckSeverity.WARN, description=sentence)

    @dg.asset_check(asset=key(project, "inference_log"))
    def every_line_readable(workspace: Workspace) -> dg.AssetCheckResult:
        """Every line of the endpoint's files is readable, and every prediction has a valid day."""
        bad = sorted(path.name for path in workspace.folder("inference", project).glob("*.bad"))
        outside, said = undated(workspace.store(project), now())
        told = [f"lines that are no predictions were set aside in {', '.join(bad)}"] * bool(bad) + [said] * bool(outside)
        return dg.AssetCheckResult(
            passed=not told, severity=dg.AssetCheckSeverity.WARN, description="; ".join(told) or "all lines are readable"
        )

    @dg.asset_check(asset=key(project, "profiles"))
    def every_day_profiled(workspace: Workspace) -> dg.AssetCheckResult:
        """The profiles of each day include all predictions of that day."""
        behind = stale_days(workspace.store(project), now())
        return dg.AssetCheckResult(
            passed=not behind, severity=dg.AssetCheckSeverity.WARN, description=", ".join(behind) or "no day is behind"
        )

    @dg.asset_check(asset=key(project, "live_accuracy"))
    def as_good_as_evaluated(workspace: Workspace) -> dg.AssetCheckResult:
        """Accuracy by feedback is not clearly below what the serving model reached on its test samples."""
        store = workspace.store(project)
        model = serving_model(store) or ""
        days = store.table("live_accuracy").read(where=f"model = {quote(model)}").to_pylist()
        tested = promised(store, task, model)
        newest = max(days, key=lambda row: row["day"], default=None)
        answers = newest["feedback"] if newest else 0
        if newest is None or tested is None or answers < ENOUGH:
            said = f"too few: {answers} of {ENOUGH} answers to predictions of one day, by which to compare"
            said = "the serving model has no test samples to compare with" if answers and tested is None else said
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=said)
        said = f"{newest['accuracy']:.3f} on {newest['day']} ({newest['feedback']} answers), promised from {tested[0]:.3f} on"
        passed = newest["high"] >= tested[0]
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=said)

    @dg.asset_check(asset=key(project, "uncertain_predictions"))
    def each_sent_once(workspace: Workspace) -> dg.AssetCheckResult:
        """No input was sent back twice, and everything that was picked was sent."""
        rows = workspace.store(project).table("picks").read(["sample_id", "sent"]).to_pylist()
        samples = [row["sample_id"] for row in rows]
        unsent = sum(not row["sent"] for row in rows)
        return dg.AssetCheckResult(
            passed=len(set(samples)) == len(samples) and not unsent,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"sent": len(rows) - unsent, "picked and not sent": unsent},
        )

    return [not_drifted, every_line_readable, every_day_profiled, as_good_as_evaluated, each_sent_once]
