"""The Dagster assets of the monitoring stage, from `inference_log` to `uncertain_predictions`."""

from typing import Any

import dagster as dg

from ml_assets.charts import markdown
from ml_assets.modalities import Modality
from ml_assets.monitoring.drift import drift_picture, update_drift, verdict
from ml_assets.monitoring.figures import accuracy_chart
from ml_assets.monitoring.live_accuracy import live_accuracy as accuracy_rows
from ml_assets.monitoring.live_accuracy import newest_figures
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.monitoring.traffic import FIRST_DAY, profile_day
from ml_assets.monitoring.uncertain import pick
from ml_assets.orchestration.resources import Workspace, result, stage_asset
from ml_assets.spool.adoption import adopt
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.store.ledger import serving_model
from ml_assets.tasks import Task

DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)
"""Dagster partitions, one per day (UTC), today included."""


def monitoring_assets(project: str, settings: MonitoringSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The Dagster assets of the monitoring stage."""

    @stage_asset(project, "monitoring", "inference_log", deps=["deployment"], kinds=["lance", "bentoml"])
    def inference_log(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """One row per prediction of the endpoint with its input; the feedback on predictions is stored beside it.

        Made from the append-only files that the endpoint's workers write; nothing is lost when one of them is killed.
        """
        store = workspace.store(project)
        done = adopt(store, workspace.folder("inference", project), now())
        log, feedback = store.table("inference_log"), store.table("feedback")
        return result(
            log.digest(["id"]) + feedback.digest(["id", "label"]),
            predictions=log.count(),
            new_predictions=done.predictions,
            feedback=feedback.count(),
            new_feedback=done.feedback,
            unreadable_lines=done.bad_lines,
        )

    @stage_asset(project, "monitoring", "profiles", deps=["inference_log"], kinds=["whylogs"], partitions_def=DAYS)
    def profiles(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """whylogs profiles of each day's traffic, one per model that answered on it.

        Made from `inference_log`; kept serialised in the table `profiles`, readable with whylogs' own reader.
        """
        store, day = workspace.store(project), context.partition_key
        written = profile_day(store, day, modality, now())
        table, where = store.table("profiles"), f"day = '{day}'"
        count = sum(table.read(["rows"], where)["rows"].to_pylist())
        return result(table.digest(["rows_digest"], where), predictions=count, profiles=table.count(where), written=written)

    @stage_asset(project, "monitoring", "drift", deps=["profiles", "evaluation"], kinds=["whylogs"], settings=[settings])
    def drift(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The distance of the traffic of the last days from the data on which the serving model was tested.

        Made from `profiles` and from the reference profile of the model's own test predictions; the check `not_drifted` warns.
        """
        store, at = workspace.store(project), now()
        model = serving_model(store)
        if model is None:
            return result("nothing-serves", verdict="nothing serves yet")
        found = update_drift(store, model, modality, settings, at)
        drifted, sentence = verdict(found, settings.minimum_rows)
        png = drift_picture(store, model, found, settings.window_days, at)
        pictures = {"distances": dg.MetadataValue.md(markdown(png, "drift"))} if png else {}
        scores = store.table("drift").digest(["score", "drifted", "rows"], f"model = '{model}'")
        return result(scores, verdict=sentence, drifted=bool(drifted), **pictures)

    @stage_asset(project, "monitoring", "live_accuracy", deps=["inference_log"], kinds=["lance"])
    def live_accuracy(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """Accuracy in production according to feedback, per model and day, with 95 % intervals."""
        store = workspace.store(project)
        found, table = accuracy_rows(store, task, now()), store.table("live_accuracy")
        table.upsert(found, ignore=["at"])
        png = accuracy_chart(found) if found.num_rows else None
        pictures = {"over time": dg.MetadataValue.md(markdown(png, "live accuracy"))} if png else {}
        return result(table.digest(["feedback", "correct", "accuracy"]), **newest_figures(found), **pictures)

    @stage_asset(
        project,
        "monitoring",
        "uncertain_predictions",
        deps=["inference_log"],
        kinds=["labelstudio"],
        settings=[settings.uncertain],
    )
    def uncertain_predictions(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The predictions that the model was least sure of, each sent back to people once, as a new sample.

        They come in through the collection inbox with the source `production` and are first in the label queue.
        """
        store = workspace.store(project)
        sent = pick(store, settings.uncertain.per_day, settings.uncertain.below, now(), settings.window_days)
        return result(store.table("picks").digest(["sample_id"]), sent_now=len(sent), sent_ever=store.table("picks").count(),
                      label_studio=dg.MetadataValue.url(url("label_studio")))  # fmt: skip

    return [inference_log, profiles, drift, live_accuracy, uncertain_predictions]
