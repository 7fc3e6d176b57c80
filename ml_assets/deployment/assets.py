"""`bento`, `deployment` and `batch_predictions`: the model packaged, put into production, and used in bulk."""

import json
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg

from ml_assets.deployment import bento as bentos
from ml_assets.deployment.batch import predict
from ml_assets.deployment.rollout import deploy
from ml_assets.deployment.settings import DeploymentSettings
from ml_assets.modalities import Modality
from ml_assets.orchestration.resources import Workspace, key, result, stage_asset
from ml_assets.state.clock import now
from ml_assets.state.home import url
from ml_assets.store import ProjectStore
from ml_assets.store.ledger import history, serving
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task
from ml_assets.training.candidates import chosen_model
from ml_assets.training.registration import registered
from ml_assets.training.seal import of_bento
from ml_assets.training.tracking import Tracker


def deployment_assets(project: str, settings: DeploymentSettings, modality: Modality, task: Task) -> list[dg.AssetsDefinition]:
    """The assets of the deployment stage."""

    @stage_asset(project, "deployment", "bento", deps=["model", "evaluation"], kinds=["bentoml"], settings=[settings])
    def bento(workspace: Workspace) -> dg.MaterializeResult[Any]:
        """The newest model as a Bento: the service, the weights and the code they need, and nothing else.

        Made from `model` once `evaluation` lets it pass; `bentoml serve <tag>` and `bentoml containerize <tag>` work on it.
        """
        store = workspace.store(project)
        version = _passed(store)
        with tempfile.TemporaryDirectory() as folder:
            fetched, _ = registered(store, Tracker(project), version, Path(folder))
            made = bentos.build(fetched, project, version, settings, task)
        row = {"id": made.tag, "model": version, "path": str(made.path), "bytes": made.bytes, "at": now()}
        row |= {"files": json.dumps(made.files)}
        store.table("bentos").upsert(rows("bentos", [row]), ignore=["at"])
        return result(
            made.tag,
            tag=made.tag,
            model=version,
            megabytes=round(made.bytes / 1e6, 2),
            folder=dg.MetadataValue.path(str(made.path)),
        )

    @stage_asset(project, "deployment", "deployment", deps=["bento"], kinds=["bentoml"])
    def deployment(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
        """What serves. Every worker of the endpoint loads the new model beside the old one, checks it, then all swap.

        Made from `bento`; if a worker cannot load it, the old model goes on serving and this fails with the reason.
        """
        store = workspace.store(project)
        version = _passed(store)
        made = [row for row in store.table("bentos").read().to_pylist() if row["model"] == version]
        if not made:
            raise dg.Failure(f"there is no Bento of {version} yet: run the asset bento")
        tag = max(made, key=lambda row: row["at"])["id"]
        of_bento(store, tag, version).check(bentos.model_folder_of(tag))
        checks = store.table("evaluations").take([version])["metrics"].to_pylist()
        done = deploy(store, version, tag, f"run {context.run_id}", settings.wait_seconds, now(), context.log.info, checks[0])
        Tracker(project).set_champion(version)
        lines = [
            f"| {d.id} | {d.model} | {d.state} | {d.requested_at:%Y-%m-%d %H:%M} | {d.reason or ''} |" for d in history(store)
        ]
        return result(
            tag,
            model=version,
            deployment=done.id,
            endpoint=dg.MetadataValue.url(f"{url('endpoint')}/{project}"),
            ledger=dg.MetadataValue.md(
                "\n".join(["| id | model | state | requested | reason |", "|---|---|---|---|---|", *lines[-20:]])
            ),
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
        """What the serving model says of every sample that has no label yet, or of the table that the YAML names.

        Made from `deployment` and `samples`; annotators see these as suggestions, and the report shows them.
        """
        store = workspace.store(project)
        live = serving(store)
        if live is None:
            raise dg.Failure("nothing serves yet: run the asset deployment")
        model = bentos.opened(store, live.bento, live.model)
        done = predict(store, model, settings.batch, now(), lambda count: context.log.info(f"predicted {count} samples"))
        table = store.table("batch_predictions")
        lines = [f"| {name} | {count} |" for name, count in done.labels.items()]
        return result(
            table.digest(["model", "label", "confidence"]),
            predicted=done.predicted,
            changed=done.changed,
            skipped=done.skipped,
            model=model.version,
            labels=dg.MetadataValue.md("\n".join(["| class | predicted |", "|---|---|", *lines])),
        )

    return [bento, deployment, batch_predictions]


def deployment_jobs(project: str) -> list[Any]:
    """The job `deploy_<project>`: one click puts the newest model into production, if its evaluation lets it."""
    gate = dg.AssetSelection.checks(dg.AssetCheckKey(key(project, "evaluation"), "good_enough"))
    job = dg.define_asset_job(
        f"deploy_{project}",
        selection=dg.AssetSelection.assets(key(project, "bento"), key(project, "deployment")) | gate,
        tags={"ml_assets/project": project},
        description="Puts the newest model into production, if its evaluation lets it.",
    )
    return [job]


def _passed(store: ProjectStore) -> str:
    """The version of the model that was chosen, if its evaluation lets it serve; however this run was started."""
    made = chosen_model(store)
    if made is None:
        raise dg.Failure("there is no model yet: run the asset model")
    found = store.table("evaluations").take([made["id"]]).to_pylist()
    if not found:
        raise dg.Failure(f"{made['id']} has not been evaluated: run the asset evaluation")
    if not found[0]["passed"]:
        raise dg.Failure(f"{made['id']} may not serve: {found[0]['reason']}")
    return str(made["id"])
