"""`make attack`: every attack on real servers, long: floods beside honest clients, fuzzed requests, mutated media files."""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from . import crowd, fuzz, key_holder, other_user, smuggler, web_page
from .target import Target, attacked

TIMES = 5.0
"""How much longer an honest client's slowest requests (the 99th of 100) may take while an attack goes on."""
MODULES = (key_holder, smuggler, web_page, other_user)
KINDS = ("keys", "protocol", "pages", "users", "floods", "requests", "files", "browser")


@dataclass
class Row:
    """One line of the closing table."""

    attack: str
    tried: str
    fell: list[str]
    seconds: float


def main() -> int:
    """Say how it goes; 0 if nothing fell."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000, help="fuzzed requests (default 50,000)")
    parser.add_argument("--files", type=int, default=20_000, help="mutated media files (default 20,000)")
    parser.add_argument("--seconds", type=float, default=20, help="of each flood (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the first request and the first file (default 0)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of attack (default all)")
    given = parser.parse_args()
    console, began, rows = Console(), time.monotonic(), list[Row]()

    def tell(row: Row) -> None:
        rows.append(row)
        word = "[red]FELL[/red]" if row.fell else "[green]held[/green]"
        console.print(f"  {word} {row.attack:<44} {row.tried} ({row.seconds:.0f} s)", highlight=False, soft_wrap=True)
        for each in row.fell[:10]:
            console.print(f"       {each[:400]}", highlight=False, markup=False, soft_wrap=True)

    warnings.filterwarnings("ignore", "lance is not fork-safe")  # the other user's process, a fork, uses no tables
    with attacked() as target:
        console.print(f"attacking {target.home} after {time.monotonic() - began:.0f} s", highlight=False)
        for kind, module in zip(KINDS[:4], MODULES, strict=True):
            for attack in module.ATTACKS if kind in given.only else ():
                tell(_row(attack.__name__, "", lambda attack=attack: attack(target)))  # type: ignore[misc]
        if "browser" in given.only:
            tell(_row("visit_a_page", "in Chromium", lambda: _browser(target)))
        if "floods" in given.only:
            calm = crowd.undisturbed(target, given.seconds)
            console.print(f"  an honest client alone: {_figures(calm)}", highlight=False)
            for flood in crowd.FLOODS:
                tell(_flood(target, flood, given.seconds, calm))
        if "requests" in given.only:
            tell(
                _counted(
                    console, "requests", given.requests, lambda tick: fuzz.requests(target, given.requests, given.seed, tick)
                )
            )
            tell(_row("collect_what_was_taken", "", lambda: fuzz.collect_what_was_taken(target)))
    if "files" in given.only:
        tell(_counted(console, "files", given.files, lambda tick: fuzz.files(given.files, given.seed, tick, each=1000)))

        tell(_row("bombs", "in collection", fuzz.bombs))

    table = Table("attack", "tried", "seconds", "fell")
    for row in rows:
        table.add_row(row.attack, row.tried, f"{row.seconds:.0f}", str(len(row.fell) or ""))
    console.print(table)
    bad = [row.attack for row in rows if row.fell]
    console.print(f"{len(rows) - len(bad)} of {len(rows)} attacks held, {time.monotonic() - began:.0f} s", highlight=False)
    return 1 if bad else 0


def _row(name: str, tried: str, attack: Callable[[], Iterator[str]]) -> Row:
    began = time.monotonic()
    fell = list(attack())
    return Row(name, tried, fell, time.monotonic() - began)


def _counted(console: Console, name: str, count: int, attack: Callable[[fuzz.Tick], Iterator[str]]) -> Row:
    """An attack of many parts, with a bar: how many, how many in a second, how long still."""
    began, done = time.monotonic(), 0
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=count, rate="")
        said = began

        def tick(more: int) -> None:
            nonlocal done, said
            done += more
            rate = done / (time.monotonic() - began)
            progress.update(task, completed=done, rate=f"{rate:.0f}/s")
            if not console.is_terminal and time.monotonic() - said > 30:
                said = time.monotonic()
                console.print(
                    f"  {name}: {done:,} of {count:,}, {rate:.0f}/s, {(count - done) / rate:.0f} s left", highlight=False
                )

        fell = list(attack(tick))
    seconds = time.monotonic() - began
    return Row(name, f"{done:,}, {done / seconds:.0f}/s", fell, seconds)


def _flood(target: Target, flood: crowd.floods.Flood, seconds: float, calm: crowd.Noticed) -> Row:
    began = time.monotonic()
    noticed = crowd.disturbed(target, flood, seconds)
    fell = list(crowd.fell(noticed))
    if noticed.p99 > TIMES * calm.p99:
        fell.append(
            f"p99 {1000 * noticed.p99:.0f} ms is {noticed.p99 / calm.p99:.1f} times the undisturbed {1000 * calm.p99:.0f} ms"
        )
    return Row(flood.__name__, _figures(noticed), fell, time.monotonic() - began)  # type: ignore[attr-defined]


def _figures(noticed: crowd.Noticed) -> str:
    asked = len(noticed.seconds) + len(noticed.failures)
    return f"{asked} asked, {len(noticed.failures)} failed, p99 {1000 * noticed.p99:.0f} ms, grown {noticed.grown >> 20} MB"


def _browser(target: Target) -> Iterator[str]:
    from browser_fixture import ARGUMENTS, chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield from web_page.visit_a_page(target, browser)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
