"""`ml-assets rejects`: lists the rejected records, labels and answers of a project, with the reasons."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_assets import settings
from ml_assets.labeling.pull import read_mark
from ml_assets.store import ProjectStore

REASONS = 20
"""Number of the most frequent reasons that are shown without `--all`."""


def collect(project: str) -> list[dict[str, Any]]:
    """List the rejected records and labels, and answers in Label Studio that are not valid labels. Raises `ProjectError`."""
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
    """Print a table of the reasons with their counts and first places or, with `every`, of all rejected records."""
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
    """Replace control characters by spaces, because the text may come from anybody and a terminal would obey them."""
    return "".join(character if character.isprintable() else " " for character in text)
