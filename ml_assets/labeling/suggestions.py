"""Updates the predictions shown by Label Studio tasks that nobody has started, after another model was deployed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ml_assets.labeling.label_studio import LabelStudio, Suggestion
from ml_assets.labeling.pull import DELETED
from ml_assets.labeling.queue import ls_project_of
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import SCHEMAS
from ml_assets.tasks import Task

AT_ONCE = 500
"""Number of tasks that are processed together."""


@dataclass(frozen=True)
class Refreshed:
    """The counts of one pass over the suggestions.

    Args:
        shown: Tasks whose suggestion changed.
        same: Tasks for which the new model predicts the same as the old one.
        begun: Tasks that somebody answered or skipped meanwhile; they keep their suggestion.
    """

    shown: int = 0
    same: int = 0
    begun: int = 0


def refresh_outdated(
    store: ProjectStore,
    connect: Callable[[], LabelStudio],
    task: Task,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Refreshed:
    """Update all outdated suggestions to the newest predictions; does nothing if there are none.

    Args:
        store: The project's tables.
        connect: Returns a Label Studio client; called only if something is outdated.
        task: Converts answers to Label Studio's format.
        on_progress: Called with the number of tasks processed and their total.
    """
    project = ls_project_of(store)
    if project is None or not (rows := outdated(store, project)):
        return Refreshed()
    return refresh(store, connect(), project, task, rows, on_progress)


def outdated(store: ProjectStore, project: int) -> list[dict[str, Any]]:
    """The rows of `label_tasks` whose suggestion is missing or of an older model, with the new prediction filled in.

    `before` is what they show now. Test samples get no suggestion, so that no model influences their labels.
    """
    where = f"ls_project = {project} AND task_id IS NOT NULL AND reason != '{DELETED}'"
    test = store.table("samples").ids("split = 'test'")
    rows = [row for row in store.table("label_tasks").read(where=where).to_pylist() if row["id"] not in test]
    found = store.table("batch_predictions").take([row["id"] for row in rows], ["id", "model", "label"]).to_pylist()
    says = {row["id"]: row for row in found}
    return [
        row | {"before": row["predicted"], "predicted": says[row["id"]]["label"], "model": says[row["id"]]["model"]}
        for row in rows
        if row["id"] in says and says[row["id"]]["model"] != row["model"]
    ]


def refresh(
    store: ProjectStore,
    client: LabelStudio,
    project: int,
    task: Task,
    rows: Sequence[dict[str, Any]],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Refreshed:
    """Update the suggestions of these tasks in Label Studio, and record the model in `label_tasks`.

    A task that somebody answered or skipped keeps its suggestion. A suggestion is changed in place, so that whoever has the
    task open can still submit it; an interrupted pass is repeated.

    Args:
        store: The project's tables.
        client: Access to Label Studio.
        project: Id of the project there.
        task: Converts answers to Label Studio's format.
        rows: Result of `outdated`.
        on_progress: Called with the number of tasks processed and their total.
    """
    table, names = store.table("label_tasks"), SCHEMAS["label_tasks"].names
    shown = same = 0
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        open_ = client.untouched(project, [row["id"] for row in part])
        waiting = [row for row in part if row["task_id"] in open_]
        changed = [row for row in waiting if row["predicted"] != row["before"]]
        client.suggest(
            [
                Suggestion(r["task_id"], open_[r["task_id"]], task.to_label_studio(r["predicted"]), r["priority"])
                for r in changed
            ]
        )
        table.upsert(pa.Table.from_pylist([{name: row[name] for name in names} for row in waiting], SCHEMAS["label_tasks"]))
        shown, same = shown + len(changed), same + len(waiting) - len(changed)
        on_progress(start + len(part), len(rows))
    return Refreshed(shown, same, len(rows) - shown - same)
