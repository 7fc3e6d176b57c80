"""Pulls new, edited and deleted answers from Label Studio into the table `annotations`.

Where the last pull stopped is stored in a small file beside the tables, written after them. The tables do not hold it: a
deletion changes the time of a task but of no annotation, and a task without an answer leaves no row. The file only saves time:
without it, or after a crash before it is written, more is read again and gives the same rows.
"""

import json
import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

import pyarrow as pa
from pydantic import TypeAdapter

from ml_assets.labeling.annotations import ORIGIN, Invalid, mark_deleted, read_tasks, vanished
from ml_assets.labeling.label_studio import LabelStudio, stamp
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import SCHEMAS
from ml_assets.tasks import Task

logger = logging.getLogger("ml_assets.labeling")

EARLIER = "label_studio_earlier"
"""Origin of annotations from a deleted Label Studio project: they stay, and nothing in Label Studio changes them."""

OVERLAP = timedelta(seconds=60)
"""How long after its time stamp a change may become visible: the longest transaction that is expected."""
MOMENT = timedelta(microseconds=1)
RECENT = 5000
DELETED = "deleted in Label Studio"
"""Reason of a row of `label_tasks` whose task people deleted in Label Studio; the sample is not pushed again."""


@dataclass(frozen=True)
class PullResult:
    """The counts of one pull, and all invalid annotations.

    Args:
        tasks: Changed tasks that were read.
        changed: Annotations that are new or were edited.
        deleted: Annotations that were taken back.
        invalid: All annotations in Label Studio that are no labels, not only those of this pull.
    """

    tasks: int
    changed: int
    deleted: int
    invalid: tuple[Invalid, ...]


@dataclass(frozen=True)
class Mark:
    """Where the last pull from Label Studio stopped.

    Args:
        project: When the Label Studio project was made; another time means another project, whatever its number.
        until: Time of the newest change that was read.
        annotated: How many tasks had annotations.
        recent: Annotated tasks that changed shortly before `until`, with the time, as far as they are stored.
        invalid: The annotations that are no labels.
        settled: Time before which nothing more can come to light, by the server's clock at the last pull; None if it has none.
    """

    project: str
    until: str | None = None
    annotated: int = 0
    recent: dict[str, str] = field(default_factory=dict)
    invalid: tuple[Invalid, ...] = ()
    settled: str | None = None


def pull(store: ProjectStore, client: LabelStudio, ls_project: int, task: Task, programs: Collection[str] = ()) -> PullResult:
    """Store what changed in the Label Studio project since the last pull.

    Each page is stored before the next is read, and where it stopped is written last: an interrupted pull is repeated.

    Args:
        store: The project's tables.
        client: Access to Label Studio.
        ls_project: Id of the project there.
        task: Reads the answers.
        programs: E-mail addresses of annotators that are programs.
    """
    mark = adopt(store, client, ls_project)
    # counted before the changes are read, so that later changes are seen again and never missed
    annotated, _ = client.annotated(ls_project)
    asked_at = client.answered_at
    users, table = client.users(), store.table("annotations")
    read = changed = deleted = 0
    until, recent, invalid = mark.until, dict(mark.recent), {i.annotation: i for i in mark.invalid}
    for page in client.changes(ls_project, _since(mark)):
        found, bad = read_tasks(page, task, users, programs)
        changed += table.upsert(found)
        samples = {str(item["data"]["item_id"]) for item in page if "item_id" in (item.get("data") or {})}
        deleted += _take_back(store, client, ls_project, task, samples, found["id"].to_pylist())
        ids = {item["id"] for item in page}
        invalid = {a: i for a, i in invalid.items() if i.task_id not in ids} | {i.annotation: i for i in bad}
        recent |= {str(item["id"]): stamp(item["updated_at"]) for item in page if item.get("annotations")}
        until = stamp(page[-1]["updated_at"])
        read += len(page)
    if annotated != _annotated(store, invalid.values()):
        gone, alive = sweep(store, client, ls_project, task)
        deleted += gone
        invalid = {a: i for a, i in invalid.items() if i.task_id in alive}
    final = tuple(sorted(invalid.values(), key=lambda i: i.annotation))
    now = Mark(mark.project, until, annotated, recent, final, stamp(asked_at - OVERLAP) if asked_at else None)
    start = _since(now)
    _write_mark(store, replace(now, recent={i: at for i, at in recent.items() if start and at >= stamp(start)}))
    return PullResult(read, changed, deleted, final)


def pending(store: ProjectStore, client: LabelStudio, ls_project: int) -> str:
    """A sentence if people changed something since the last pull, else the empty string; sends two small requests.

    Tasks that were pushed and that nobody answered are no news. The same news give the same sentence.
    """
    mark = read_mark(store)
    if mark and mark.until:
        _, recent = client.annotated(ls_project, _since(mark), limit=RECENT)
        news = {i: at for i, at in recent.items() if mark.recent.get(str(i)) != at}
        if news:
            return f"{len(news)} tasks changed in Label Studio, the last at {max(news.values())}"
    before, (now, _) = mark.annotated if mark else 0, client.annotated(ls_project)
    return "" if now == before else f"{now} tasks in Label Studio have annotations, {before} had at the last pull"


def adopt(store: ProjectStore, client: LabelStudio, ls_project: int) -> Mark:
    """Return where the last pull from this Label Studio project stopped, after setting aside answers from an earlier project.

    If the stored answers are from another one, which was deleted or stood on another server, they stay as they are under ids
    of their own, because the new one counts its annotations and tasks from 1 again; its tasks count as never pushed.
    """
    created, mark = client.created_at(ls_project), read_mark(store)
    if mark is not None and mark.project == created:
        return mark
    if mark is not None:
        table = store.table("annotations")
        where = f"origin = '{ORIGIN}'"
        suffix = "@" + content_id(mark.project)[:8]
        kept = [row | {"id": row["id"] + suffix, "origin": EARLIER} for row in table.read(where=where).to_pylist()]
        table.upsert(pa.Table.from_pylist(kept, SCHEMAS["annotations"]))
        table.delete(where)
        store.table("label_tasks").delete("id IS NOT NULL")
    _write_mark(store, Mark(created))
    return Mark(created)


def sweep(store: ProjectStore, client: LabelStudio, ls_project: int, task: Task) -> tuple[int, set[int]]:
    """Mark the annotations of deleted tasks as deleted, and their samples as not to be pushed again.

    Returns the number of these annotations, and the ids of the existing tasks.
    """
    alive = client.task_ids(ls_project)
    queued = store.table("label_tasks").read(where=f"ls_project = {ls_project} AND task_id IS NOT NULL").to_pylist()
    gone = [row | {"reason": DELETED} for row in queued if row["task_id"] not in alive]
    store.table("label_tasks").upsert(pa.Table.from_pylist(gone, SCHEMAS["label_tasks"]))
    there = {row["id"] for row in queued if row["task_id"] in alive}
    doubtful = set(_live(store)["sample_id"].to_pylist()) - there
    return _take_back(store, client, ls_project, task, doubtful, ()), alive


def _take_back(
    store: ProjectStore, client: LabelStudio, ls_project: int, task: Task, samples: Collection[str], alive: Sequence[str]
) -> int:
    """Mark the annotations of these samples that no task of theirs holds any more as deleted; return how many.

    `alive` are the ids that were just read. People may have copied a task, so one task alone does not tell.
    """
    missing = vanished(_live(store), samples, alive)
    if missing.num_rows == 0:
        return 0
    sample_ids = set(missing["sample_id"].to_pylist())
    there, _ = read_tasks(client.tasks_of(ls_project, sample_ids), task, {})
    return store.table("annotations").upsert(mark_deleted(vanished(missing, sample_ids, there["id"].to_pylist())))


def _live(store: ProjectStore) -> pa.Table:
    return store.table("annotations").read(where=f"origin = '{ORIGIN}' AND deleted = false")


def _annotated(store: ProjectStore, invalid: Collection[Invalid]) -> int:
    """Number of tasks that should have annotations according to the tables."""
    samples = set(_live(store)["sample_id"].to_pylist())
    return len(samples) + len({i.task_id for i in invalid if i.sample_id not in samples})


def _since(mark: Mark) -> datetime | None:
    """The time from which on changes may not have been read yet: an earlier change can become visible after a later one."""
    if not mark.until:
        return None
    until = datetime.fromisoformat(mark.until)
    settled = datetime.fromisoformat(mark.settled) if mark.settled else until - OVERLAP
    return until + MOMENT if settled > until else max(settled, until - OVERLAP)


def read_mark(store: ProjectStore) -> Mark | None:
    """The stored position of the last pull; None (read everything) before the first pull or if the file is damaged."""
    import fsspec

    fs, path = fsspec.url_to_fs(_mark_uri(store))
    try:  # not an existence check first: an object store's listing may be outdated
        content = fs.cat_file(path)
    except FileNotFoundError:
        return None
    try:
        stored = TypeAdapter(Mark).validate_json(content)
        _since(stored)
    except (ValueError, OverflowError) as error:
        kind = "is empty" if not content.strip() else "is damaged"
        logger.warning("%s %s (%s): all answers are read again", path, kind, type(error).__name__)
        return None
    return stored


def _write_mark(store: ProjectStore, mark: Mark) -> None:
    import fsspec

    fs, path = fsspec.url_to_fs(_mark_uri(store))
    content = json.dumps(asdict(mark), ensure_ascii=False).encode()
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    beside = f"{path}.{os.getpid()}"
    fs.pipe_file(beside, content)
    fs.mv(beside, path)


def _mark_uri(store: ProjectStore) -> str:
    return f"{store.uri}/label_studio.json"
