"""`ml-assets run`: shows the progress of a run, with one line per finished asset: its main figures and the time it took."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ml_assets import settings
from ml_assets.commands.outcome import Outcome, Step
from ml_assets.errors import MLAssetsError, unknown
from ml_assets.state import interrupts
from ml_assets.state.progress import Listener, listening

BLOCKED = 5
"""Most assets that are listed by name of those that another one held up."""
STAGES = ("collection", "labeling", "visualization", "features", "training", "deployment", "monitoring")


class UnknownStage(MLAssetsError, ValueError):
    """There is no stage of this name."""


def follow(
    project: str,
    console: Console,
    stages: Sequence[str] = (),
    only: Collection[str] = (),
    wait_seconds: float = 0,
    log: bool = False,
) -> Outcome:
    """Run the stale assets and print the progress and outcome, with the steps' log if `log`.

    Raises `Busy`, `ProjectError`, `UnknownStage`, and `KeyboardInterrupt` if Ctrl-C was pressed.
    """
    for stage in stages:
        if stage not in STAGES:
            raise UnknownStage(unknown("stage", stage, STAGES))
    with interrupts.heard():
        outcome = _followed(project, console, stages, only, wait_seconds, log)
        show_outcome(outcome, console)
    return outcome


def _followed(
    project: str, console: Console, stages: Sequence[str], only: Collection[str], wait_seconds: float, log: bool
) -> Outcome:
    settings.load(project)
    if not console.is_terminal:
        console.print(f"{project}: looking for what is new …", highlight=False)
    with bar(console, f"{project}: looking for what is new") as (tick, title):
        from ml_assets.commands.runner import runner

        def start(assets: Sequence[str], why: str) -> None:
            description = f"{', '.join(name.split('/', 1)[1] for name in assets)} ({why})"
            title(description)
            if not console.is_terminal:  # where no bar moves
                console.print(f"  … {description}", highlight=False, soft_wrap=True)

        def step(made: Step) -> None:
            line(console, made.stage, f"{made.asset.split('/', 1)[1]:<22} {brief(made.metadata)}", made.seconds)

        def read(text: str) -> None:
            if log:
                console.print(f"[dim]    {escape(text)}[/dim]", highlight=False, soft_wrap=True)

        with listening(tick, read):
            return runner(project, on_start=start, on_step=step).run(stages, only, wait_seconds)


def line(console: Console, stage: str, what: str, seconds: float) -> None:
    """Print a line about a finished piece of work: its stage, the seconds it took, and a description."""
    console.print(f"  [green]✓[/green] {stage:<14}{seconds:6.1f} s  {escape(what)}", highlight=False, soft_wrap=True)


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Print the outcome of a run: failures, failed checks, blocked assets, and counts."""
    for name, why in outcome.failed.items():
        console.print(f"  [red]✗[/red] {name}: {escape(why)}", highlight=False, soft_wrap=True)
    for name, why in outcome.failed_checks.items():
        console.print(f"  [red]✗[/red] check {name}: {escape(why)}", highlight=False, soft_wrap=True)
    for name, why in outcome.warnings.items():
        console.print(f"  [yellow]![/yellow] check {name}: {escape(why)}", highlight=False, soft_wrap=True)
    if outcome.blocked:
        more = f" and {len(outcome.blocked) - BLOCKED} more" if len(outcome.blocked) > BLOCKED else ""
        listed = ", ".join(outcome.blocked[:BLOCKED]) + more
        console.print(f"  not run because of that: {listed}", highlight=False, soft_wrap=True)
    count = len(outcome.materialized)
    idle = not (count or outcome.failed or outcome.blocked)
    why = " (nothing is new, or a sensor was there first)" if idle else ""
    console.print(f"{count} assets made, {len(outcome.up_to_date)} up to date{why}, {outcome.seconds:.1f} s", highlight=False)


def brief(metadata: Mapping[str, Any]) -> str:
    """Format the first four short values of an asset's metadata on one line."""
    parts = []
    for name, value in metadata.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str) or name.startswith("dagster"):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if len(text) <= 24 and text not in ("", "none", "0") and not text.startswith(("/", "http")):
            parts.append(f"{name} {text}")
    return ", ".join(parts[:4])


class _Rate(ProgressColumn):
    """Progress column that shows the speed per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


@contextmanager
def bar(console: Console, text: str) -> Iterator[tuple[Listener, Any]]:
    """Context manager that shows a progress bar; yields a function for its progress and one for its title."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)

        def tick(what: str, done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description=what)

        def title(description: str) -> None:
            progress.reset(task, total=None, description=description)

        yield tick, title
