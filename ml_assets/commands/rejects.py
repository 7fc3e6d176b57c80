"""`ml-assets rejects`: what was set aside, and why."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_assets import settings
from ml_assets.labeling.pull import read_mark
from ml_assets.store import ProjectStore

REASONS = 20
"""Reasons that are shown where not every record is asked for, the most frequent ones."""


def collect(project: str) -> list[dict[str, Any]]:
    """Records and labels that were set aside, and answers in Label Studio that are no labels. Raises `ProjectError`."""
    settings.load(project)
    store = ProjectStore(project)
    rows = store.table("rejects").read().sort_by([("source", "ascending"), ("origin", "ascending")]).to_pylist()
    found = [{name: row[name] for name in ("source", "origin", "reason", "excerpt", "at")} for row in rows]
    mark = read_mark(store)
    answers = [
        {"source": "label_studio", "origin": f"task {wrong.task_id}", "reason": wrong.reason, "excerpt": None, "at": None}
        for wrong in (mark.invalid if mark else ())
    ]
    return found + answers


def show(found: list[dict[str, Any]], every: bool, console: Console) -> None:
    """A table of the reasons, each with how often it was met and where first; or of all that was set aside."""
    if not found:
        console.print("nothing was set aside")
        return
    count = Counter((row["source"], row["reason"]) for row in found)
    first = {(row["source"], row["reason"]): row for row in reversed(found)}
    shown = found if every else [first[which] for which, _ in count.most_common(REASONS)]
    table = Table(
        *([] if every else ["count"]), "source", "reason", "where" if every else "first of them", "it holds", box=None
    )
    for row in shown:
        often = [] if every else [str(count[row["source"], row["reason"]])]
        cells = (row["source"], row["reason"], row["origin"], (row["excerpt"] or "")[:60])
        table.add_row(*often, *(escape(_visible(cell)) for cell in cells))
    console.print(table)
    if not every:
        rest = f", {len(count) - REASONS} more reasons" if len(count) > REASONS else ""
        console.print(f"{len(found)} in all{rest}: --all lists each")


def _visible(text: str) -> str:
    """The text in one line, without what a terminal would obey: strangers may have written it."""
    return "".join(character if character.isprintable() else " " for character in text)
