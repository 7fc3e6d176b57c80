"""What must hold in every installation after its loop, whatever was killed; each finding is one sentence."""

import os
from collections import Counter
from typing import Any

import dagster as dg

from ml_assets.labeling.connect import connect
from ml_assets.labeling.queue import ls_project_of
from ml_assets.spool.adoption import pending
from ml_assets.state.clock import now
from ml_assets.training.tracking import Tracker

from . import client, project
from .loop import Installation, _wait

SECONDS = 90.0
"""How long runs that sensors started may go on after the loop."""
RUNS = 4
GOING = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


def problems(of: Installation) -> list[str]:
    """Looked at while the servers are up."""
    with of.entered():
        return [*_leftovers(of), *_runs(of), *_tasks(of), *_models(of), *_predictions(of)]


def _runs(of: Installation) -> list[str]:
    """No Dagster run is left in progress: those of dead processes are marked as failed."""
    os.environ["DAGSTER_HOME"] = str(of.home / "dagster")
    with dg.DagsterInstance.get() as instance:

        def going() -> list[Any]:
            return list(instance.get_runs(filters=dg.RunsFilter(statuses=GOING)))

        _wait(lambda: not going(), SECONDS)
        return [f"run {run.run_id} is {run.status.value} for ever: {dict(run.tags)}" for run in going()]


def _tasks(of: Installation) -> list[str]:
    """Label Studio holds one task per row of `label_tasks`, and one annotation per answered task."""
    number = ls_project_of(of.store)
    assert number is not None
    rows = {row["id"]: row["task_id"] for row in of.store.table("label_tasks").read().to_pylist()}
    server = connect()
    tasks = [task for page in server.changes(number, None) for task in page]
    there = {task["id"]: task for task in tasks}
    items = Counter(task["data"]["item_id"] for task in there.values())
    found = [f"{item} has {count} tasks in Label Studio" for item, count in items.items() if count > 1]
    if set(items) != set(rows) or {t["data"]["item_id"]: t["id"] for t in there.values()} != rows:
        found.append(f"label_tasks has {len(rows)} rows, Label Studio {len(items)} tasks, and they are not the same")
    twice = [task["id"] for task in there.values() if len(task["annotations"]) > 1]
    return [*found, *(f"task {task} was answered more than once" for task in twice)]


def _models(of: Installation) -> list[str]:
    """Each model in the tables is one version in MLflow's registry, of a finished run; the one that serves is the champion."""
    tracker, found = Tracker(project.NAME), []
    for row in of.store.table("models").read().to_pylist():
        version = tracker.client.get_model_version(project.NAME, row["id"].rsplit("-", 1)[1])
        run = tracker.client.get_run(row["run_id"])
        if version.run_id != row["run_id"] or run.info.status != "FINISHED":
            found.append(f"{row['id']} is of run {row['run_id']}, MLflow says {version.run_id} ({run.info.status})")
    live = of.store.table("deployments").read(["model"], "state = 'live'")["model"].to_pylist()
    champion = tracker.client.get_model_version_by_alias(project.NAME, "champion").version
    if live != [f"{project.NAME}-{champion}"]:
        found.append(f"{live} serves, the champion is {champion}")
    return found


def _predictions(of: Installation) -> list[str]:
    """Each prediction that was acknowledged is in the log once, with what was answered; others were asked for too."""
    asked = Counter(entry["samples"][0] for entry in client.read(of.folder / "application" / "asked.jsonl"))
    answered = {entry["id"]: entry for entry in client.read(of.folder / "application" / "acknowledged.jsonl")}
    log = of.store.table("inference_log").read().to_pylist()
    logged = {row["id"]: row for row in log}
    found = [f"prediction {i} was answered and is not in the log" for i in answered if i not in logged]
    found += [
        f"prediction {i} was answered as {answered[i]} and logged as {row}"
        for i, row in logged.items()
        if i in answered
        and (row["label"], row["confidence"], row["model"]) != tuple(answered[i][k] for k in ("label", "confidence", "model"))
    ]
    counts = Counter(row["text"] for row in log)
    return [
        *found,
        *(f"{text!r} was asked {asked[text]} times and logged {n} times" for text, n in counts.items() if n > asked[text]),
    ]


def _leftovers(of: Installation) -> list[str]:
    """Nothing that came in still waits to be read."""
    waiting = pending(of.store, of.home / "inference" / project.NAME, now())
    for _ in range(RUNS):  # what monitoring sent back, and what it leads to
        made = of.command("run", project.NAME)["materialized"]
        if not made:
            break
    return [
        *(["predictions wait in segments"] if waiting else []),
        *([f"run makes something each time: {', '.join(made)}"] if made else []),
    ]
