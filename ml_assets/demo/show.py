"""`ml-assets demo`: runs the whole loop on an example and prints the progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from ml_assets import settings
from ml_assets.commands.outcome import Outcome
from ml_assets.commands.run import bar, follow, line
from ml_assets.commands.status import collect
from ml_assets.commands.up import pages, start, stay
from ml_assets.demo import EXAMPLES, Example, annotators, traffic
from ml_assets.demo.example import Wave
from ml_assets.errors import MLAssetsError, unknown
from ml_assets.orchestration import examples
from ml_assets.services import supervisor
from ml_assets.state.lock import project_lock
from ml_assets.store import ProjectStore

QUEUE = ("samples", "embeddings", "label_tasks")
LOCK_SECONDS = 180.0


class DemoFailed(MLAssetsError, RuntimeError):
    """A part of the loop failed or had the wrong result; the message says which."""


class UnknownExample(MLAssetsError, ValueError):
    """There is no example of this name."""


def show(name: str, once: bool, console: Console) -> None:
    """Run the loop on an example; afterwards keep the servers running until Ctrl-C, or end them at once if `once`.

    Raises `UnknownExample` and `DemoFailed`.
    """
    if name not in EXAMPLES:
        raise UnknownExample(unknown("example", name, EXAMPLES))
    began = time.monotonic()
    try:
        _loop(EXAMPLES[name], console)
        console.print(f"\nthe whole loop took {time.monotonic() - began:.0f} s", highlight=False)
        if not once:
            stay(console)
    finally:
        supervisor.down()


def _loop(example: Example, console: Console) -> None:
    project = example.project
    examples.use(project)
    task = settings.load(project).labeling.task
    supervisor.refuse_taken_ports()  # before anything is fetched
    with _step(console, "data", example.about) as say:
        say(example.fetch())
    with _step(console, "servers", "Dagster, Label Studio, MLflow, the endpoint, the explorer"):
        start(console)

    _heading(console, "collection, embeddings, and the queue for people")
    _run(project, console, only=QUEUE)

    _heading(console, f"labeling: demo annotators, {example.annotators}, answer through Label Studio's API")
    # the lock keeps the sensor from pulling every few answers: the run below pulls them all
    with bar(console, "annotations") as (tick, _), project_lock(project).acquire(timeout=LOCK_SECONDS):
        seconds = time.monotonic()
        made = annotators.label(project, task, example.answers(), partial(tick, "annotations"))
    line(console, "labeling", f"{made} annotations by {len(annotators.EMAILS)} demo annotators", time.monotonic() - seconds)

    _heading(console, "labels, dataset, report, features, training, evaluation, deployment")
    _run(project, console)

    predictions: list[str] = []
    first_time = not ProjectStore(project).table("inference_log").count()
    for wave in example.waves(seed=0):
        _heading(console, f"traffic: {len(wave.requests)} requests, {wave.about}")
        with bar(console, "requests") as (tick, _):
            seconds = time.monotonic()
            answered = traffic.send(project, wave.requests, partial(tick, "requests"))
        line(console, "deployment", f"{len(answered)} predictions", time.monotonic() - seconds)
        predictions += answered

        _heading(console, "monitoring; what was uncertain goes back to people")
        watched = _run(project, console)
        _judge(project, wave, first_time)
        if f"{project}/uncertain_predictions" in watched.materialized:
            _run(project, console, only=QUEUE)

    _results(example, console, predictions[0])


def _judge(project: str, wave: Wave, first_time: bool) -> None:
    """Raise `DemoFailed` if monitoring missed the drift in strange traffic, or reported drift in unchanged traffic.

    If the demo ran before, its strange traffic may still be in the window, and a report of drift is right.
    """
    noticed = ProjectStore(project).table("drift").count("drifted = true") > 0
    if wave.strange and not noticed:
        raise DemoFailed(f"monitoring did not notice strange traffic: {wave.about}")
    if noticed and not wave.strange and first_time:
        raise DemoFailed(f"monitoring warned of traffic in which nothing changed: {wave.about}")


def _run(project: str, console: Console, only: tuple[str, ...] = ()) -> Outcome:
    outcome = follow(project, console, only=only, wait_seconds=LOCK_SECONDS)
    if not outcome.succeeded:
        wrong = {**outcome.failed, **outcome.failed_checks} or {"blocked": ", ".join(outcome.blocked)}
        raise DemoFailed(f"{next(iter(wrong))}: {next(iter(wrong.values()))}")
    return outcome


def _results(example: Example, console: Console, prediction: str) -> None:
    """Print the results, the trace of a prediction, the addresses of the servers, and the log-ins."""
    from ml_assets.commands.trace import find
    from ml_assets.commands.trace_tree import tree

    found = collect()["projects"][example.project]
    metrics = found["serving"]["metrics"]
    low, high = metrics[f"{example.metric}_interval"]
    table = Table("result", "value", box=None, title="results", title_justify="left", title_style="bold")
    table.add_row("samples", f"{found['samples']} ({found['rejects']} rejected)")
    table.add_row("labelled", f"{found['labelled']} in {found['dataset']}")
    table.add_row("serves", f"{found['serving']['model']} since {found['serving']['since']:%H:%M:%S} UTC")
    name, figure = example.metric.replace("_f1", " F1"), metrics[example.metric]
    table.add_row(f"{name} on {example.test}", f"{figure:.4f} (95 % interval {low:.4f} to {high:.4f})")
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
    """Time a part of the loop that is no asset, and print a line at its end; yields a function that adds figures to it."""
    began, made = time.monotonic(), dict[str, Any]()
    yield made.update
    figures = ", ".join(f"{k} {v}" for k, v in made.items())
    line(console, name, f"{what}{': ' if figures else ''}{figures}", time.monotonic() - began)
