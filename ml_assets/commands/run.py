"""`ml-assets run`: shows a run while it goes on, one line per asset: what it made and how long it took."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from ml_assets.run import Outcome, Step

STAGES = ("collection", "labeling", "visualization", "features", "training", "deployment", "monitoring")


class UnknownStage(ValueError):
    """The name is no stage's."""


def follow(project: str, stages: Sequence[str], wait_seconds: float, console: Console) -> Outcome:
    """Run what is stale and tell it on the console. Raises `Busy`, `ProjectError`, `UnknownStage`."""
    for stage in stages:
        if stage not in STAGES:
            raise UnknownStage(f"unknown stage {stage!r}: choose from {', '.join(STAGES)}")
    with console.status(f"{project}: looking for what is new") as line:
        from ml_assets.run import runner

        def start(assets: Sequence[str], why: str) -> None:
            line.update(f"{', '.join(name.split('/', 1)[1] for name in assets)} ({why})")

        def step(made: Step) -> None:
            noun = made.asset.split("/", 1)[1]
            console.print(
                f"  [green]✓[/green] {made.stage:<14}{noun:<22}{made.seconds:6.1f} s  [dim]{brief(made.metadata)}[/dim]",
                highlight=False,
            )

        outcome = runner(project, on_start=start, on_step=step).run(stages, wait_seconds=wait_seconds)
    tell(outcome, console)
    return outcome


def tell(outcome: Outcome, console: Console) -> None:
    """What came of it."""
    for name, why in outcome.failed.items():
        console.print(f"  [red]✗[/red] {name}: {why}", highlight=False)
    for name, why in outcome.failed_checks.items():
        console.print(f"  [red]✗[/red] check {name}: {why}", highlight=False)
    for name, why in outcome.warnings.items():
        console.print(f"  [yellow]![/yellow] check {name}: {why}", highlight=False)
    if outcome.blocked:
        console.print(f"  not run because of that: {', '.join(outcome.blocked)}", highlight=False)
    count = len(outcome.materialized)
    console.print(f"{count} assets made, {len(outcome.up_to_date)} up to date, {outcome.seconds:.1f} s", highlight=False)


def brief(metadata: Mapping[str, Any]) -> str:
    """The short figures of an asset's metadata, on one line."""
    parts = []
    for name, value in metadata.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str) or name.startswith("dagster"):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if len(text) <= 24 and text not in ("", "none", "0") and not text.startswith(("/", "http")):
            parts.append(f"{name} {text}")
    return ", ".join(parts[:4])
