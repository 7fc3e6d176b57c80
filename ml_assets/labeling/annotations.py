"""Converts Label Studio tasks and given labels to rows of the table `annotations`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.state.digests import content_id
from ml_assets.store.records import Annotation, why_not
from ml_assets.store.schemas import rows
from ml_assets.tasks import InvalidLabel, Task
from ml_assets.texts.offsets import UNMOVED

ORIGIN = "label_studio"
GIVEN = "given"
"""Origin of annotations that came with the data."""
PUSHED = "pushed"
"""Origin of annotations that came through the API."""


@dataclass(frozen=True)
class Invalid:
    """An annotation in Label Studio that is not a valid label, with the reason in one sentence."""

    annotation: int
    task_id: int
    sample_id: str | None
    reason: str


def read_tasks(
    tasks: Sequence[Mapping[str, Any]], task: Task, users: Mapping[int, str], programs: Collection[str] = ()
) -> tuple[pa.Table, list[Invalid]]:
    """Convert Label Studio tasks to rows of `annotations`; also return the annotations that are not valid labels.

    Skipped tasks give no rows. `programs` are the e-mail addresses of annotators that are programs.
    """
    found: list[Annotation] = []
    invalid: list[Invalid] = []
    for item in tasks:
        sample = (item.get("data") or {}).get("item_id")
        for annotation in item.get("annotations") or []:
            if annotation.get("was_cancelled"):
                continue
            labeler = _labeler(annotation, users)
            where = f"task {item['id']} (annotation {annotation['id']} by {labeler})"
            try:
                if sample is None:
                    raise InvalidLabel("the task was not pushed from here, it has no item_id")
                if not annotation.get("result") and not task.may_be_empty:
                    raise InvalidLabel("the answer is empty")
                value = task.from_label_studio(annotation.get("result") or [])
                if task.names_places():
                    value = task.placed(value, str(item["data"].get("content", "")), UNMOVED)
                if wrong := why_not({"sample_id": sample, "labeler": labeler, "value": value}):
                    raise InvalidLabel(wrong)
            except InvalidLabel as error:
                invalid.append(Invalid(annotation["id"], item["id"], sample, f"{where}: {error}"))
                continue
            found.append(
                {
                    "id": f"ls-{annotation['id']}",
                    "sample_id": sample,
                    "labeler": labeler,
                    "labeler_kind": "program" if labeler in programs else "person",
                    "value": value,
                    "origin": ORIGIN,
                    "created_at": _time(annotation["created_at"]),
                    "updated_at": _time(annotation["updated_at"]),
                    "lead_seconds": annotation.get("lead_time"),
                    "deleted": False,
                }
            )
    return rows("annotations", found), invalid


def from_given(given: pa.Table) -> pa.Table:
    """Convert rows of `given_labels` to rows of `annotations`; equal labels in several files become one annotation."""
    made: dict[str, Annotation] = {}
    for row in given.sort_by("id").to_pylist():
        # files may hold several labels by one labeler; of pushed labels only the newest is stored
        key = row["id"] if row["file"] is None else content_id(row["sample_id"], row["labeler"], row["value"])
        made.setdefault(
            f"given-{key}",
            {
                "id": f"given-{key}",
                "sample_id": row["sample_id"],
                "labeler": row["labeler"],
                "labeler_kind": row["labeler_kind"],
                "value": row["value"],
                "origin": GIVEN if row["arrival"] is None else PUSHED,
                "created_at": row["at"],
                "updated_at": row["at"],
                "lead_seconds": None,
                "deleted": False,
            },
        )
    return rows("annotations", list(made.values()))


def with_stored_ids(came: pa.Table, stored: pa.Table) -> pa.Table:
    """The annotations `came`, each with the id of the stored one with the same sample, labeler and value, if there is one.

    Earlier versions gave them other ids; a dataset names ids, and what nobody changed must not become another dataset.
    """
    new = set(came["id"].to_pylist()) - set(stored["id"].to_pylist())
    if not new or not stored.num_rows:
        return came
    alive = stored.filter(pc.and_(pc.invert(stored["deleted"]), pc.equal(stored["origin"], GIVEN)))
    known: dict[tuple[str, str, str], str] = {}
    for row in alive.select(["sample_id", "labeler", "value", "id"]).sort_by("id").to_pylist():
        known.setdefault((row["sample_id"], row["labeler"], row["value"]), row["id"])
    found = [
        row | {"id": known.get((row["sample_id"], row["labeler"], row["value"]), row["id"])}
        if row["id"] in new and row["origin"] == GIVEN
        else row
        for row in came.to_pylist()
    ]
    return rows("annotations", found)


def not_given(stored: pa.Table, given: pa.Table) -> pa.Table:
    """The stored annotations that came with the data or through the API and are not in `given`, the result of `from_given`."""
    came = pc.is_in(stored["origin"], pa.array([GIVEN, PUSHED]))
    gone = pc.invert(pc.is_in(stored["id"], given["id"].combine_chunks()))
    return stored.filter(pc.and_(pc.and_(came, gone), pc.invert(stored["deleted"])))


def vanished(stored: pa.Table, samples: Collection[str], alive: Collection[str]) -> pa.Table:
    """The stored annotations from Label Studio that belong to these samples and whose ids are not in `alive`."""
    of_samples = pc.is_in(stored["sample_id"], pa.array(list(samples), pa.string()))
    gone = pc.invert(pc.is_in(stored["id"], pa.array(list(alive), pa.string())))
    live = pc.and_(pc.equal(stored["origin"], ORIGIN), pc.invert(stored["deleted"]))
    return stored.filter(pc.and_(pc.and_(of_samples, gone), live))


def mark_deleted(annotations: pa.Table) -> pa.Table:
    """The annotations with `deleted` set to true."""
    place = annotations.schema.get_field_index("deleted")
    return annotations.set_column(place, annotations.schema.field(place), pa.array([True] * annotations.num_rows, pa.bool_()))


def _labeler(annotation: Mapping[str, Any], users: Mapping[int, str]) -> str:
    """The labeler's e-mail address, or `user <id>` if the account no longer exists."""
    by = annotation.get("completed_by")
    if isinstance(by, Mapping):
        by = by.get("id")
    return users.get(by) or f"user {by}" if isinstance(by, int) else "unknown user"


def _time(time: str | datetime) -> datetime:
    """Label Studio's time as a datetime in UTC."""
    return datetime.fromisoformat(time).astimezone(UTC) if isinstance(time, str) else time
