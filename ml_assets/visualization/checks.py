"""The check of the visualization stage: the report's page exists and is complete."""

import dagster as dg

from ml_assets.orchestration.resources import Workspace, key


def visualization_checks(project: str) -> list[dg.AssetChecksDefinition]:
    """Make the checks of the visualization stage of a project; they only warn."""

    # a sensor that runs the asset by itself leaves out the checks that do not ask to run with it
    with_its_asset = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())

    @dg.asset_check(asset=key(project, "dataset_report"), automation_condition=with_its_asset)
    def page_is_there(workspace: Workspace) -> dg.AssetCheckResult:
        """The page exists and is complete."""
        path = workspace.folder("reports", project) / "index.html"
        whole = path.is_file() and path.read_bytes().rstrip().endswith(b"</html>")
        size = path.stat().st_size if path.is_file() else 0
        return dg.AssetCheckResult(passed=whole, severity=dg.AssetCheckSeverity.WARN, metadata={"bytes": size})

    return [page_is_there]
