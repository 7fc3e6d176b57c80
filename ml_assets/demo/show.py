"""`ml-assets demo`: the whole loop on real text, told as it goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from ml_assets import settings
from ml_assets.commands.run import bar, follow, line
from ml_assets.commands.status import collect
from ml_assets.commands.up import pages, start, stay
from ml_assets.demo import annotators, newsgroups, traffic
from ml_assets.lock import project_lock
from ml_assets.run import Outcome
from ml_assets.services import supervisor
from ml_assets.store import ProjectStore

PROJECT = "newsgroups"
REQUESTS = 200
QUEUE = ("samples", "embeddings", "label_tasks")
LOCK_SECONDS = 180.0


class DemoFailed(RuntimeError):
    """A part of the loop did not do what it is there for; the message says which."""


def show(once: bool, console: Console) -> None:
    """Run the loop; afterwards stay up until Ctrl-C, or end everything if `once`. Raises `DemoFailed`."""
    began = time.monotonic()
    try:
        _loop(console)
        console.print(f"\nthe whole loop took {time.monotonic() - began:.0f} s", highlight=False)
        if not once:
            stay(console)
    finally:
        supervisor.down()


def _loop(console: Console) -> None:
    task = settings.load(PROJECT).labeling.task
    with _step(console, "data", "20 Newsgroups, six classes, from a package") as say:
        newsgroups.fetch()
        say({name.split(".")[0]: len(newsgroups.read(name)) for name in newsgroups.FILES})
    with _step(console, "servers", "Dagster, Label Studio, MLflow, the endpoint, the explorer"):
        start(console)

    _heading(console, "collection, embeddings, and the queue for people")
    _run(console, only=QUEUE)

    _heading(console, "labeling: demo annotators, who know the published answers, answer through Label Studio's API")
    # the lock keeps the sensor from pulling every few answers: the run below pulls them all
    with bar(console, "annotations") as (tick, _), project_lock(PROJECT).acquire(timeout=LOCK_SECONDS):
        seconds = time.monotonic()
        made = annotators.label(PROJECT, task, newsgroups.published_answers(), partial(tick, "annotations"))
    line(console, "labeling", f"{made} annotations by {len(annotators.EMAILS)} demo annotators", time.monotonic() - seconds)

    _heading(console, "labels, dataset, report, features, training, evaluation, deployment")
    _run(console)

    _heading(console, f"traffic: {REQUESTS} requests, half of them from newsgroups that the model never saw")
    with bar(console, "requests") as (tick, _):
        seconds = time.monotonic()
        predictions = traffic.send(PROJECT, REQUESTS, seed=0, on_progress=partial(tick, "requests"))
    line(console, "deployment", f"{len(predictions)} predictions", time.monotonic() - seconds)

    _heading(console, "monitoring; what was uncertain goes back to people")
    watched = _run(console)
    if not ProjectStore(PROJECT).table("drift").count("drifted = true"):
        raise DemoFailed("monitoring did not notice that half of the traffic is strange")
    if "newsgroups/uncertain_predictions" in watched.materialized:
        _run(console, only=QUEUE)

    _results(console, predictions[0])


def _run(console: Console, only: tuple[str, ...] = ()) -> Outcome:
    outcome = follow(PROJECT, console, only=only, wait_seconds=LOCK_SECONDS)
    if not outcome.succeeded:
        wrong = {**outcome.failed, **outcome.failed_checks} or {"blocked": ", ".join(outcome.blocked)}
        raise DemoFailed(f"{next(iter(wrong))}: {next(iter(wrong.values()))}")
    return outcome


def _results(console: Console, prediction: str) -> None:
    """What came out, where to look, and how to go on."""
    from ml_assets.commands.trace import find
    from ml_assets.monitoring.trace_tree import tree

    found = collect()["projects"][PROJECT]
    metrics = found["serving"]["metrics"]
    low, high = metrics["macro_f1_interval"]
    table = Table("result", "value", box=None, title="results", title_justify="left", title_style="bold")
    table.add_row("samples", f"{found['samples']} ({found['rejects']} rejected)")
    table.add_row("labelled", f"{sum(found['labels'].values())} in {found['dataset']}")
    table.add_row("serves", f"{found['serving']['model']} since {found['serving']['since']:%H:%M:%S} UTC")
    table.add_row("macro F1 on the official test file", f"{metrics['macro_f1']:.4f} (95 % interval {low:.4f} to {high:.4f})")
    day = found["last_day"]
    table.add_row("predictions of the last day", str(day["predictions"]))
    table.add_row("accuracy by feedback", f"{day['accuracy']:.3f}" if day["accuracy"] is not None else "no feedback")
    table.add_row("drift", ", ".join(day["drift"]) or "none")
    table.add_row("waiting for people", f"{found['waiting']} uncertain predictions")
    console.print()
    console.print(table)
    console.print()
    console.print(Panel(tree(find(prediction)), title=f"ml-assets trace {prediction}", title_align="left"))
    console.print(pages(supervisor.status()), highlight=False, soft_wrap=True)
    for email, password in annotators.logins().items():
        console.print(f"  a demo annotator: {email}, password {password}", highlight=False, soft_wrap=True)


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False)


@contextmanager
def _step(console: Console, name: str, what: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A part of the loop that is no asset: a line when it is done."""
    began, made = time.monotonic(), dict[str, Any]()
    yield made.update
    figures = ", ".join(f"{k} {v}" for k, v in made.items())
    line(console, name, f"{what}{': ' if figures else ''}{figures}", time.monotonic() - began)
