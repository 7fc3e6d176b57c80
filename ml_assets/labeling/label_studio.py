"""A client of Label Studio that asks in bulk, never makes anything twice, and fails with one sentence.

Every call has a time limit. The server knows no unique keys, so that a sample's id travels as `data.item_id`, and what is
already there is looked up before anything is made.
"""

import json
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx

from ml_assets.errors import InvalidValue
from ml_assets.labeling import http
from ml_assets.labeling.http import LabelStudioRefused, LabelStudioUnavailable

__all__ = ["Answer", "LabelStudio", "LabelStudioRefused", "LabelStudioUnavailable", "Suggestion", "is_ours", "stamp"]

CHUNK = 1000
"""Tasks of one import: one bad task fails its whole chunk, and larger chunks gain nothing."""
LOOKUP = 100
"""Ids of one look-up: they travel in the URL, which proxies cut off at 8 kB."""
PAGE = 500
IMPORT_SECONDS = 300.0
ATTEMPTS = 3
QUEUE = "ml_assets"
"""Model version of all predictions that we push. Label Studio orders a project's tasks by the score of one version only, so
that a version per model would put the tasks of every older model last. Which model it was stands in `label_tasks`."""

_FIELDS = "id,data,annotations,updated_at,result,completed_by,was_cancelled,created_at,lead_time"  # also of the annotations
_STATE = "id,data,predictions,total_annotations,cancelled_annotations,updated_at"
Filter = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One annotation to submit: the `result` that the task writes, for the Label Studio task of that id."""

    task_id: int
    result: Sequence[dict[str, Any]]
    lead_seconds: float | None = None


@dataclass(frozen=True)
class Suggestion:
    """What a task shows of a model before people answer.

    Args:
        task_id: Of the Label Studio task.
        prediction: Id of the prediction that is changed; None makes one.
        result: As the task writes it.
        score: Where the task stands in the queue; the lowest is asked first.
    """

    task_id: int
    prediction: int | None
    result: Sequence[dict[str, Any]]
    score: float


class LabelStudio:
    """One user's access to a Label Studio server.

    Args:
        url: Where it listens, such as `http://127.0.0.1:8080`.
        token: A legacy token (40 hexadecimal digits) or a personal access token.
        timeout: Limit of each call, in seconds.

    Raises:
        LabelStudioRefused: The token has expired, or another user of the machine holds the installation's port.
    """

    def __init__(self, url: str, token: str, timeout: float = 30.0):
        from label_studio_sdk import LabelStudio as Sdk

        self.url = url.rstrip("/")
        limits = httpx.Limits(max_connections=16)
        self._http = http.client(self.url, timeout, follow_redirects=True, limits=limits)
        self._http.event_hooks["response"].append(self._note_time)
        self.answered_at: datetime | None = None
        """When the server gave its last answer, by its own clock; None if it does not say."""
        sdk: Any = Sdk
        with self._asking("the token"):
            self._sdk: Sdk = sdk(base_url=self.url, api_key=token, httpx_client=self._http, timeout=timeout, max_retries=0)

    def _note_time(self, answer: httpx.Response) -> None:
        try:
            at = parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, ValueError):
            self.answered_at = None
        else:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
            self.answered_at = at if at.year > 2000 else None

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    @cached_property
    def email(self) -> str:
        """The user whose token this is."""
        with self._asking("who it belongs to"):
            return str(self._sdk.users.whoami().email)

    def users(self) -> dict[int, str]:
        """E-mail address of each user, by id."""
        with self._asking("the list of users"):
            return {int(user.id): str(user.email) for user in _listed(self._sdk.users.list())}

    def invite_link(self) -> str:
        """The address at which somebody who was invited makes an account, as long as no newer one was asked for."""
        with self._asking("an invitation"):
            return self.url + _invitation(self._sdk.organizations.invites.get_invite_link().invite_url)

    def new_invite_link(self) -> str:
        """An address like that of `invite_link`; all that were given out before are good for nothing any more."""
        with self._asking("a new invitation"):
            return self.url + _invitation(self._sdk.organizations.reset_token().invite_url)

    def ensure_project(
        self, name: str, label_config: str, annotators: int = 1, title: str | None = None, may_be_empty: bool = False
    ) -> int:
        """The id of the one Label Studio project that belongs to the project `name`; made if there is none.

        It is found again by a line in its description, whatever people make of its title. What people see is brought up to
        date where it differs: the label configuration, the number of annotators per task, whether an empty answer is one.
        """
        marker = _marker(name)
        wanted: dict[str, Any] = {
            "label_config": label_config,
            "maximum_annotations": annotators,
            "sampling": "Uncertainty sampling",
            "enable_empty_annotation": may_be_empty,
        }
        with self._asking(f"the project {name!r}"):
            found = self._marked(marker)
            if not found:
                made: Any = self._sdk.projects.create(
                    title=(title or name).ljust(3, "."),  # the server wants three characters
                    description=_description(name),
                    **wanted,
                )
                found = self._marked(marker)
                if found[0].id != made.id:  # another process made one at the same time: the first counts
                    self._sdk.projects.delete(made.id)
            project: Any = self._sdk.projects.get(found[0].id)
            changes = {key: value for key, value in wanted.items() if getattr(project, key) != value}
            if changes:
                self._sdk.projects.update(project.id, **changes)
            return int(project.id)

    def project(self, project: int) -> dict[str, Any] | None:
        """The project as the server describes it; None if there is none of this id."""
        answer = self._get(f"/api/projects/{project}/", f"project {project}", may_miss=True)
        with self._asking(f"project {project}"):
            return None if answer is None else dict(answer)

    def projects(self) -> dict[int, dict[str, Any]]:
        """Title and description of each project, by id."""
        with self._asking("the list of projects"):
            return {int(p.id): {"title": str(p.title), "description": str(p.description or "")} for p in self._projects()}

    def mark(self, project: int, name: str) -> None:
        """Write the line into the description by which `ensure_project` finds the project."""
        with self._asking(f"the project {name!r}"):
            self._sdk.projects.update(project, description=_description(name))

    def storages(self, project: int) -> dict[str, str]:
        """What is imported from and exported to, as far as others than `ml_assets` made it: path or bucket by kind and id."""
        found: dict[str, str] = {}
        for way in ("", "export"):
            answer = self._get(f"/api/storages/{way}?project={project}", f"the storages of project {project}")
            with self._asking(f"the storages of project {project}"):
                for storage in _listed(answer):
                    where = storage.get("path") or storage.get("bucket") or storage.get("container") or "?"
                    found[f"{way or 'import'} {storage['type']} {storage['id']}"] = str(where)
        return found

    def administrator(self) -> dict[str, Any]:
        """Id, address and name of the user whose token this is."""
        found = self._get("/api/current-user/whoami", "who it belongs to")
        with self._asking("who it belongs to"):
            return {name: found[name] for name in ("id", "email", "username", "first_name", "last_name")}

    def _get(self, path: str, what: str, may_miss: bool = False) -> Any:
        """The JSON at a path of the API; None where nothing is, if that may be."""
        from label_studio_sdk.core.api_error import ApiError

        with self._asking(what):
            answer = self._http.get(self.url + path, headers=self._sdk._client_wrapper.get_headers())
            if may_miss and answer.status_code == 404:
                return None
            if answer.status_code != 200:
                raise ApiError(status_code=answer.status_code, body=answer.text)
            return answer.json()

    def ensure_local_files(self, project: int, folder: str) -> None:
        """Let the project show the files of this folder, which lies below the server's folder of local files."""
        with self._asking(f"the files of project {project}"):
            known: Any = self._sdk.import_storage.local.list(project=project)
            if folder not in {storage.path for storage in _listed(known)}:
                self._sdk.import_storage.local.create(project=project, path=folder, use_blob_urls=True)

    def _marked(self, marker: str) -> list[Any]:
        """The projects with that line, oldest first."""
        return [project for project in self._projects() if marker in (project.description or "")]

    def _projects(self) -> list[Any]:
        """All projects, oldest first."""
        found: dict[int, Any] = {}
        listed: Any = self._sdk.projects.list(page_size=100, include="id,title,description")
        for project in listed:
            if not isinstance(project.id, int) or project.id in found:  # pages without end
                raise InvalidValue("no list of projects")
            found[project.id] = project
        return [found[number] for number in sorted(found)]

    def created_at(self, project: int) -> str:
        """When the project was made, to the microsecond: tells it from one that has the same id on another server."""
        with self._asking(f"project {project}"):
            found: Any = self._sdk.projects.get(project)
            return stamp(found.created_at)

    def push(self, project: int, tasks: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Make the tasks that are not there yet; return the task id of each `data.item_id`.

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
        """The task id of each of these items that has a task; the oldest, should people have copied one."""
        known: dict[str, int] = {}
        for task in self._of_items(project, items, "id,data"):
            item, task_id = task["data"].get("item_id"), int(task["id"])
            if item is not None:  # a task that people made may have a number there
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
        """The tasks of these items that nobody answered or skipped, each with the id of the prediction that it shows."""
        found: dict[int, int | None] = {}
        for task in self._of_items(project, items, _STATE):
            if not task.get("total_annotations") and not task.get("cancelled_annotations"):
                ours = [p["id"] for p in task.get("predictions") or [] if p.get("model_version") == QUEUE]
                found[int(task["id"])] = max(ours, default=None)
        return found

    def suggest(self, suggestions: Sequence[Suggestion], connections: int = 4) -> None:
        """Let tasks show other predictions, each changed in its place: an answer that names the old one can still be sent."""

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
        """Pages of tasks that changed at `since` or later, with all their annotations, those that changed first first.

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
            # pages go on from the last time and not by number: what changes meanwhile moves to the end, and all others up
            seen = {(task["id"], task["updated_at"]) for task in page}
            size = size * 2 if after == page[-1]["updated_at"] else PAGE
            after = page[-1]["updated_at"]

    def annotated(self, project: int, since: datetime | None = None, limit: int = 1) -> tuple[int, dict[int, str]]:
        """How many tasks with annotations changed at `since` or later, and when each of the newest `limit` did."""
        chosen = _where("total_annotations", "greater", "Number", 0)
        if since is not None:
            chosen += _where("updated_at", "greater_or_equal", "Datetime", stamp(since))
        page, total = self._page(project, chosen, "-updated_at", "id,updated_at", limit)
        return total, {int(task["id"]): stamp(task["updated_at"]) for task in page}

    def waiting(self, project: int, annotators: int) -> int:
        """How many tasks people have still to answer; one that somebody skipped does not count."""
        open_ = _where("total_annotations", "less", "Number", annotators) + _where(
            "cancelled_annotations", "equal", "Number", 0
        )
        return self._page(project, open_, "id", "id", 1)[1]

    def count(self, project: int) -> int:
        """How many tasks there are."""
        return self._page(project, [], "id", "id", 1)[1]

    def task_ids(self, project: int) -> set[int]:
        """The ids of all tasks. Deleted ones are seen in no other way."""
        return {int(task["id"]) for task in self._by_key(project, "id", [], "id", 5000)}

    def add_annotations(self, answers: Sequence[Answer], connections: int = 4) -> int:
        """Submit annotations as the user of this client; return how many were new.

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
        """All tasks that match, by ascending id; each page goes on after the last id."""
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
            page = [_readable(item.model_dump(exclude_unset=True, warnings=False)) for item in _listed(pager.items)]
            return page, int(pager.response.total)

    def _asking(self, what: str, exists_is_fine: bool = False) -> AbstractContextManager[None]:
        """Errors of the calls inside as one sentence about `what`."""
        return http.asking(self.url, what, exists_is_fine)


def _listed(items: Any) -> list[Any]:
    """The list, if it is one: nothing at all is not the same as an empty one. Raises `ValueError`."""
    if not isinstance(items, list):
        raise InvalidValue("no list")
    return items


def _invitation(path: Any) -> str:
    """The path of an invitation, if it is one. Raises `ValueError`."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidValue("no path")
    return path


def _readable(task: dict[str, Any]) -> dict[str, Any]:
    """A task as all here expect it: who imports tasks by hand may put anything into its data.

    Only a text is an item's id, and only annotations with a number are read. Raises `ValueError` where it has no id or time.
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


def _marker(name: str) -> str:
    return f'Kept by ml_assets, project "{name}".'


def _description(name: str) -> str:
    return f"{_marker(name)} Keep this line: the project is found by it."


def is_ours(description: str) -> bool:
    """Whether this is the description of a project that was made here, of whatever name."""
    return 'Kept by ml_assets, project "' in description


def _where(column: str, operator: str, kind: str, value: Any) -> list[Filter]:
    return [{"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}]


def stamp(time: datetime) -> str:
    """A time in UTC as Label Studio's filters need it: microseconds and `Z`. Sorts as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
