"""The Dagster assets of the deployment stage: `bento`, `deployment` and `batch_predictions`."""

from typing import Any

import dagster as dg

from ml_assets.deployment.batch import live_model, predict
from ml_assets.deployment.packaging import newest_bento, note_bento, package, passed_model
from ml_assets.deployment.rollout import as_cells, deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, key, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.store.ledger import history
from ml_assets.tasks import Task
from ml_assets.texts.tables import markdown_table
from ml_assets.training.tracking import Tracker

LEDGER = ["id", "model", "state", "requested", "reason"]
SHOWN = 20
"""Number of deployments that are shown, the newest ones."""


def deployment_assets(project: str, settings: DeploymentSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The Dagster assets of the deployment stage."""

    @stage_asset(project, "deployment", "bento", deps=["model", "evaluation"], kinds=["bentoml"], settings=[settings])
    def bento(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The newest model as a Bento: the service, the weights and the code they need, and nothing else.

        Made from `model` once `evaluation` lets it pass; `bentoml serve <tag>` and `bentoml containerize <tag>` work on it.
        """
        store = workspace.store(project)
        version = passed_model(store)
        made = package(store, Tracker(project), version, settings, task)
        note_bento(store, made, version, now())
        return result(
            made.tag,
            tag=made.tag,
            model=version,
            megabytes=round(made.bytes / 1e6, 2),
            folder=dg.MetadataValue.path(str(made.path)),
        )

    @stage_asset(project, "deployment", "deployment", deps=["bento"], kinds=["bentoml"])
    def deployment(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The model in production: each worker of the endpoint loads the new one beside the old one, checks it, then all swap.

        Made from `bento`; if a worker cannot load it, the old model goes on serving and this fails with the reason.
        """
        store = workspace.store(project)
        version = passed_model(store)
        tag = newest_bento(store, version)
        checks = store.table("evaluations").take([version])["metrics"].to_pylist()
        done = deploy(store, version, tag, f"run {context.run_id}", settings.wait_seconds, now(), context.log.info, checks[0])
        Tracker(project).set_champion(version)
        ledger = markdown_table(LEDGER, as_cells(history(store)[-SHOWN:]))
        return result(
            tag,
            model=version,
            deployment=done.id,
            endpoint=dg.MetadataValue.url(f"{url('endpoint')}/{project}"),
            ledger=dg.MetadataValue.md(ledger),
        )

    @stage_asset(
        project,
        "deployment",
        "batch_predictions",
        deps=["deployment", "samples", "embeddings", "labels"],
        kinds=["lance"],
        settings=[settings.batch],
    )
    def batch_predictions(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The serving model's predictions for every sample that has no label yet, or for the table that the YAML names.

        Made from `deployment` and `samples`; annotators see these as suggestions, and the report shows them.
        """
        store = workspace.store(project)
        model = live_model(store)
        done = predict(store, model, settings.batch, now(), lambda count: context.log.info(f"predicted {count} samples"))
        table = store.table("batch_predictions")
        return result(
            table.digest(["model", "label", "confidence"]),
            predicted=done.predicted,
            changed=done.changed,
            skipped=done.skipped,
            model=model.version,
            labels=dg.MetadataValue.md(markdown_table(["class", "predicted"], done.labels.items())),
        )

    return [bento, deployment, batch_predictions]


def deployment_jobs(project: str) -> list[Any]:
    """The Dagster job `deploy_<project>`, which puts the newest model into production if its evaluation passed."""
    gate = dg.AssetSelection.checks(dg.AssetCheckKey(key(project, "evaluation"), "good_enough"))
    job = dg.define_asset_job(
        f"deploy_{project}",
        selection=dg.AssetSelection.assets(key(project, "bento"), key(project, "deployment")) | gate,
        tags={"ml_assets/project": project},
        description="Puts the newest model into production, if its evaluation lets it.",
    )
    return [job]
