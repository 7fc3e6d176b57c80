"""`ml-assets status`: shows the state of the servers and of each project."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_assets import settings
from ml_assets.commands.plain import plain
from ml_assets.errors import MLAssetsError
from ml_assets.monitoring.live_accuracy import accuracy_since
from ml_assets.services import supervisor
from ml_assets.state.clock import now
from ml_assets.state.home import home
from ml_assets.store import ProjectStore, ledger, quote
from ml_assets.tasks import Task

SHORT = 24
"""Most characters of a problem that is shown in a table."""


def collect() -> dict[str, Any]:
    """Collect the state of all servers and projects; a broken project has an entry `broken` with the reason."""
    services = {name: {"url": s.url, "ready": s.ready, "problem": s.problem} for name, s in supervisor.status().items()}
    return {"home": str(home()), "services": services, "projects": {name: _project(name) for name in settings.project_names()}}


def show(found: dict[str, Any], console: Console) -> None:
    """Print a table of the servers and one of the projects, with long error messages below them."""
    wrong: dict[str, str] = {}
    console.print(f"home {escape(found['home'])}", highlight=False, soft_wrap=True)
    services = Table("service", "address", "state", box=None)
    for name, s in found["services"].items():
        problem = s["problem"] or "down"
        if not s["ready"] and len(problem) > SHORT:
            problem, wrong[name] = "failed", problem
        services.add_row(name, escape(s["url"]), "[green]ready[/green]" if s["ready"] else f"[red]{escape(problem)}[/red]")
    console.print(services)
    projects = Table("project", "samples", "labelled", "waiting", "rejects", "serves", "last day", box=None)
    for name, p in found["projects"].items():
        if "broken" in p:
            projects.add_row(escape(name), "[red]broken[/red]")
            wrong[name] = p["broken"]
            continue
        serves = f"{p['serving']['model']} since {p['serving']['since']:%Y-%m-%d %H:%M}" if p["serving"] else "nothing"
        day = p["last_day"]
        drift = f", drift in {', '.join(day['drift'])}" if day["drift"] else ""
        accuracy = f", accuracy {day['accuracy']:.3f}" if day["accuracy"] is not None else ""
        projects.add_row(name, str(p["samples"]), str(p["labelled"]), str(p["waiting"]), str(p["rejects"]), serves,
                         f"{day['predictions']} predictions{accuracy}{drift}")  # fmt: skip
    if found["projects"]:
        console.print(projects)
    else:
        console.print("no project yet: `ml-assets demo` runs an example, `ml-assets new NAME` begins one of your own")
    for name, sentence in wrong.items():
        console.print(f"[red]{escape(name)}:[/red] {escape(sentence)}", highlight=False, soft_wrap=True)


def _project(name: str) -> dict[str, Any]:
    try:
        task = settings.load(name).labeling.task
    except settings.ProjectError as error:
        return {"broken": str(error)}
    try:
        return _standing(ProjectStore(name), task)
    except (MLAssetsError, OSError, ValueError) as error:  # the servers and the other projects are still shown
        return {"broken": plain(str(error))}


def _standing(store: ProjectStore, task: Task) -> dict[str, Any]:
    labels = store.table("labels").read(["value"], "conflict = false")["value"].to_pylist()
    answered = set(store.table("annotations").read(["sample_id"], "deleted = false")["sample_id"].to_pylist())
    tags = store.table("dataset").tags()
    serving = _serving(store)
    return {
        "samples": store.table("samples").count(),
        "labelled": len(labels),
        "labels": dict(sorted(Counter(name for value in labels for name in task.classes_in(value)).items())),
        "waiting": len(store.table("label_tasks").ids() - answered),
        "rejects": store.table("rejects").count(),
        "dataset": tags[-1] if tags else None,
        "serving": serving,
        "last_day": _last_day(store, task, serving["model"] if serving else None),
    }


def _serving(store: ProjectStore) -> dict[str, Any] | None:
    live = ledger.serving(store)
    if live is None:
        return None
    metrics = store.table("evaluations").take([live.model], ["metrics"])["metrics"].to_pylist()
    return {"model": live.model, "since": live.live_at, "metrics": json.loads(metrics[0]) if metrics else {}}


def _last_day(store: ProjectStore, task: Task, model: str | None) -> dict[str, Any]:
    """Figures of the last 24 hours: count of predictions, and of the serving model the feedback, accuracy and newest drift."""
    until = now()
    since = until - timedelta(days=1)
    where = f"at >= timestamp '{since:%Y-%m-%d %H:%M:%S.%f}' AND at <= timestamp '{until:%Y-%m-%d %H:%M:%S.%f}'"
    answers, accuracy = accuracy_since(store, task, model, since, until) if model else (0, None)
    measured = store.table("drift").read(["day", "column", "drifted"], f"model = {quote(model or '')}").to_pylist()
    measured = [row for row in measured if f"{since:%Y-%m-%d}" <= row["day"] <= f"{until:%Y-%m-%d}"]
    newest = max((row["day"] for row in measured), default=None)
    return {
        "predictions": store.table("inference_log").count(where),
        "answers": answers,
        "accuracy": accuracy,
        "drift": sorted({row["column"] for row in measured if row["day"] == newest and row["drifted"]}),
    }
