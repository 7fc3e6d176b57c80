"""The check of the report runs whenever the report is written, whoever started it."""

import dagster as dg

from ml_assets.modalities import Text
from ml_assets.orchestration.resources import key
from ml_assets.visualization.assets import visualization_assets
from ml_assets.visualization.checks import visualization_checks
from ml_assets.visualization.settings import VisualizationSettings

from .reviews import TASK

DEPS = ("samples", "label_tasks", "annotations", "labels")
LATER = ("evaluation", "cross_predictions", "batch_predictions")


def test_the_check_runs_with_a_report_that_automation_writes() -> None:
    report = visualization_assets("reviews", VisualizationSettings(), Text(), TASK)
    specs = [dg.AssetSpec(key("reviews", noun)) for noun in DEPS]
    defs = dg.Definitions(
        assets=[*report, *specs], asset_checks=visualization_checks("reviews"), resources={"workspace": object()}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        for spec in specs:
            instance.report_runless_asset_event(dg.AssetMaterialization(spec.key))
        first = dg.evaluate_automation_conditions(defs, instance)
        assert requested(first) == {
            key("reviews", "dataset_report"),
            dg.AssetCheckKey(key("reviews", "dataset_report"), "page_is_there"),
        }
        instance.report_runless_asset_event(dg.AssetMaterialization(key("reviews", "dataset_report")))
        assert not requested(dg.evaluate_automation_conditions(defs, instance, cursor=first.cursor))


def test_the_report_waits_for_no_prediction_and_is_written_again_when_there_are_others() -> None:
    report = visualization_assets("reviews", VisualizationSettings(), Text(), TASK)
    specs = [dg.AssetSpec(key("reviews", noun)) for noun in (*DEPS, *LATER)]
    defs = dg.Definitions(assets=[*report, *specs], resources={"workspace": object()})
    page = {key("reviews", "dataset_report")}
    with dg.DagsterInstance.ephemeral() as instance:

        def made(noun: str, version: str = "1") -> None:
            tags = {"dagster/data_version": version}
            instance.report_runless_asset_event(dg.AssetMaterialization(key("reviews", noun), tags=tags))

        for noun in DEPS:
            made(noun)
        found = dg.evaluate_automation_conditions(defs, instance)
        assert requested(found) == page
        made("dataset_report")
        found = dg.evaluate_automation_conditions(defs, instance, cursor=found.cursor)
        for noun in LATER:
            made(noun)
            found = dg.evaluate_automation_conditions(defs, instance, cursor=found.cursor)
            assert requested(found) == page, noun
            made("dataset_report")
            found = dg.evaluate_automation_conditions(defs, instance, cursor=found.cursor)
            assert not requested(found)
            made(noun)  # as it was
            found = dg.evaluate_automation_conditions(defs, instance, cursor=found.cursor)
            assert not requested(found)


def requested(evaluated: dg.EvaluateAutomationConditionsResult) -> set[dg.AssetKey | dg.AssetCheckKey]:
    return {each.key for each in evaluated.results if each.true_subset.size}
