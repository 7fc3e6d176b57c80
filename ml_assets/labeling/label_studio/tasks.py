"""Label Studio client with the calls that concern tasks: push, look-up, paging, predictions and annotations."""

import json
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from ml_assets.errors import InvalidValue
from ml_assets.labeling.label_studio import http
from ml_assets.labeling.label_studio.connection import listed, stamp
from ml_assets.labeling.label_studio.http import LabelStudioRefused, LabelStudioUnavailable
from ml_assets.labeling.label_studio.projects import Projects

CHUNK = 1000
"""Number of tasks per import: one bad task fails its whole chunk, and larger chunks are not faster."""
LOOKUP = 100
"""Number of ids per look-up: they are part of the URL, which proxies cut off at 8 kB."""
PAGE = 500
IMPORT_SECONDS = 300.0
ATTEMPTS = 3
QUEUE = "ml_assets"
"""Model version of all predictions that `ml_assets` pushes. Label Studio orders a project's tasks by the score of one version
only, so one version per model would put tasks of older models last. `label_tasks` records the model.
"""

_FIELDS = "id,data,annotations,updated_at,result,completed_by,was_cancelled,created_at,lead_time"  # and of annotations
_STATE = "id,data,predictions,total_annotations,cancelled_annotations,updated_at"
Filter = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One annotation to submit: the `result` as written by the task, and the id of the Label Studio task."""

    task_id: int
    result: Sequence[dict[str, Any]]
    lead_seconds: float | None = None


@dataclass(frozen=True)
class Suggestion:
    """A model's prediction that a Label Studio task shows before people answer.

    Args:
        task_id: Id of the Label Studio task.
        prediction: Id of the prediction to change; None creates one.
        result: The prediction as written by the task.
        score: Position of the task in the queue; the lowest comes first.
    """

    task_id: int
    prediction: int | None
    result: Sequence[dict[str, Any]]
    score: float


class LabelStudio(Projects):
    """One user's access to a Label Studio server: its projects, tasks, predictions and annotations.

    Arguments and errors are those of `Connection`.
    """

    def push(self, project: int, tasks: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Create the tasks that do not exist yet; return the task id of each `data.item_id`.

        However often it is called, and wherever it was interrupted, each item gets one task.

        Args:
            project: Id of the Label Studio project.
            tasks: `{"data": {"item_id": …, …}, "predictions": […]}`, one per item.

        Raises:
            LabelStudioUnavailable: After three attempts, or when the server was silent for five minutes: whether it still
                makes the tasks is unknown then, so nothing is repeated here. The next push looks up first.
        """
        pushed: dict[str, int] = {}
        for start in range(0, len(tasks), CHUNK):
            pushed |= self._push_chunk(project, tasks[start : start + CHUNK])
        if any(task.get("predictions") for task in tasks):
            self._order_by_score(project)
        return pushed

    def _push_chunk(self, project: int, tasks: Sequence[dict[str, Any]]) -> dict[str, int]:
        items = [str(task["data"]["item_id"]) for task in tasks]
        for attempt in range(1, ATTEMPTS + 1):
            known = self.known_items(project, items)
            missing = {str(t["data"]["item_id"]): t for t in tasks if str(t["data"]["item_id"]) not in known}
            if not missing:
                break
            try:
                with self._asking(f"{len(missing)} tasks"):
                    made: Any = self._sdk.projects.import_tasks(
                        project,
                        request=list[Any](missing.values()),
                        return_task_ids=True,
                        request_options={"timeout_in_seconds": int(IMPORT_SECONDS)},
                    )
                    ids = [int(number) for number in made.task_ids or []]
            except LabelStudioUnavailable as error:
                if attempt == ATTEMPTS or isinstance(error.__cause__, httpx.TimeoutException):
                    raise
                continue
            if len(ids) != len(missing):
                raise LabelStudioRefused(f"Label Studio made {len(ids)} tasks of the {len(missing)} that were pushed")
            known |= dict(zip(missing, ids, strict=True))
            break
        return known

    def _order_by_score(self, project: int) -> None:
        with self._asking(f"the order of the tasks of project {project}"):
            if self._sdk.projects.get(project).model_version != QUEUE:
                self._sdk.projects.update(project, model_version=QUEUE)

    def known_items(self, project: int, items: Collection[str]) -> dict[str, int]:
        """The task id of each item that has a task; the lowest id if people copied the task."""
        known: dict[str, int] = {}
        for task in self._of_items(project, items, "id,data"):
            item, task_id = task["data"].get("item_id"), int(task["id"])
            if item is not None:  # missing or not a text in tasks that people created
                known[item] = min(task_id, known.get(item, task_id))
        return known

    def tasks_of(self, project: int, items: Collection[str]) -> list[dict[str, Any]]:
        """All tasks of these items, with their annotations."""
        return list(self._of_items(project, items, _FIELDS))

    def _of_items(self, project: int, items: Collection[str], fields: str) -> Iterator[dict[str, Any]]:
        listed = sorted(items)
        for start in range(0, len(listed), LOOKUP):
            chosen = _where("data.item_id", "in_list", "List", listed[start : start + LOOKUP])
            yield from self._by_key(project, "id", chosen, fields, PAGE)

    def untouched(self, project: int, items: Collection[str]) -> dict[int, int | None]:
        """The tasks of these items that nobody answered or skipped, each with the id of its prediction, if it has one."""
        found: dict[int, int | None] = {}
        for task in self._of_items(project, items, _STATE):
            if not task.get("total_annotations") and not task.get("cancelled_annotations"):
                ours = [p["id"] for p in task.get("predictions") or [] if p.get("model_version") == QUEUE]
                found[int(task["id"])] = max(ours, default=None)
        return found

    def suggest(self, suggestions: Sequence[Suggestion], connections: int = 4) -> None:
        """Change the predictions that tasks show in place, so that answers that refer to the old ones can still be sent."""

        def show(suggestion: Suggestion) -> None:
            shown = {"result": list(suggestion.result), "score": suggestion.score, "model_version": QUEUE}
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    with self._asking(f"the prediction of task {suggestion.task_id}"):
                        if suggestion.prediction is None:
                            self._sdk.predictions.create(task=suggestion.task_id, **shown)
                        else:
                            self._sdk.predictions.update(suggestion.prediction, **shown)
                        return
                except LabelStudioUnavailable:
                    if attempt == ATTEMPTS:
                        raise

        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(show, suggestions))

    def changes(self, project: int, since: datetime | None) -> Iterator[list[dict[str, Any]]]:
        """Yield pages of the tasks that changed at `since` or later, with all annotations, in the order of their changes.

        A task that changes while the pages are read comes again on a later page, in its newer state.
        """
        after, size, seen = since, PAGE, set[tuple[int, datetime]]()
        while True:
            chosen = [] if after is None else _where("updated_at", "greater_or_equal", "Datetime", stamp(after))
            page, total = self._page(project, chosen, "updated_at", _FIELDS, size)
            fresh = [task for task in page if (task["id"], task["updated_at"]) not in seen]
            if fresh:
                yield fresh
            if not page or len(page) >= total:
                return
            if not fresh and len(page) < size:
                raise http.garbled(self.url, f"what changed in project {project}")
            # pages continue from the last time, not by number: tasks that change meanwhile move to the end and shift the others
            seen = {(task["id"], task["updated_at"]) for task in page}
            size = size * 2 if after == page[-1]["updated_at"] else PAGE
            after = page[-1]["updated_at"]

    def annotated(self, project: int, since: datetime | None = None, limit: int = 1) -> tuple[int, dict[int, str]]:
        """Number of annotated tasks that changed at `since` or later, and when each of the newest `limit` changed."""
        chosen = _where("total_annotations", "greater", "Number", 0)
        if since is not None:
            chosen += _where("updated_at", "greater_or_equal", "Datetime", stamp(since))
        page, total = self._page(project, chosen, "-updated_at", "id,updated_at", limit)
        return total, {int(task["id"]): stamp(task["updated_at"]) for task in page}

    def waiting(self, project: int, annotators: int) -> int:
        """Number of tasks that still need answers; a task that somebody skipped does not count."""
        open_ = _where("total_annotations", "less", "Number", annotators) + _where(
            "cancelled_annotations", "equal", "Number", 0
        )
        return self._page(project, open_, "id", "id", 1)[1]

    def count(self, project: int) -> int:
        """Number of tasks in the project."""
        return self._page(project, [], "id", "id", 1)[1]

    def task_ids(self, project: int) -> set[int]:
        """The ids of all tasks of the project; the only way to notice deleted tasks."""
        return {int(task["id"]) for task in self._by_key(project, "id", [], "id", 5000)}

    def add_annotations(self, answers: Sequence[Answer], connections: int = 4) -> int:
        """Submit annotations as the user of this client; return how many are new.

        One user has one annotation per task here: repeating a call, or a request whose answer got lost, adds none.
        """
        email = self.email

        def submit(answer: Answer) -> int:
            key = uuid.uuid5(uuid.NAMESPACE_OID, f"ml_assets task {answer.task_id} {email}")
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    with self._asking(f"an annotation of task {answer.task_id}", exists_is_fine=True):
                        self._sdk.annotations.create(
                            answer.task_id,
                            result=answer.result,
                            lead_time=answer.lead_seconds,
                            ground_truth=False,
                            unique_id=str(key),
                        )
                        return 1
                    return 0
                except LabelStudioUnavailable:
                    if attempt == ATTEMPTS:
                        raise
            return 0

        with ThreadPoolExecutor(connections) as pool:
            return sum(pool.map(submit, answers))

    def _by_key(self, project: int, key: str, chosen: list[Filter], fields: str, size: int) -> Iterator[dict[str, Any]]:
        """Yield all tasks that match, by ascending id; each page continues after the last id."""
        last = 0
        while True:
            page, total = self._page(project, [*chosen, *_where(key, "greater", "Number", last)], key, fields, size)
            yield from page
            if not page or len(page) >= total:
                return
            if page[-1]["id"] <= last:
                raise http.garbled(self.url, f"the tasks of project {project}")
            last = page[-1]["id"]

    def _page(self, project: int, chosen: list[Filter], order: str, fields: str, size: int) -> tuple[list[dict[str, Any]], int]:
        """The first `size` tasks that match, and how many match. `order` is a column, with `-` for descending."""
        column = f"-tasks:{order[1:]}" if order.startswith("-") else f"tasks:{order}"
        query = {"filters": {"conjunction": "and", "items": chosen}, "ordering": [column]}
        with self._asking(f"the tasks of project {project}"):
            pager: Any = self._sdk.tasks.list(
                project=project, query=json.dumps(query), include=fields, fields="all", page_size=size, page=1
            )
            page = [_readable(item.model_dump(exclude_unset=True, warnings=False)) for item in listed(pager.items)]
            return page, int(pager.response.total)


def _readable(task: dict[str, Any]) -> dict[str, Any]:
    """The task with `data` and `annotations` of the expected types: whoever imports tasks by hand may put anything into them.

    Only text is kept as item id, and only annotations with an integer id. Raises `ValueError` if the task has no id or time.
    """
    if not isinstance(task.get("id"), int) or not isinstance(task.get("updated_at", datetime.min), datetime):
        raise InvalidValue("no task")
    data = task.get("data")
    data = dict(data) if isinstance(data, dict) else {}
    if not isinstance(data.get("item_id"), str):
        data.pop("item_id", None)
    given = task.get("annotations")
    annotations = [a for a in given if isinstance(a, dict) and isinstance(a.get("id"), int)] if isinstance(given, list) else []
    return task | {"data": data, "annotations": annotations}


def _where(column: str, operator: str, kind: str, value: Any) -> list[Filter]:
    return [{"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}]
