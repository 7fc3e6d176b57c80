"""Stores labels that came with the data or were pushed in `given_labels`, and finds contradictions between them.

Each value that a file gives to a sample is a row; a file that changed loses the rows that it no longer holds. Of pushed labels
each labeler has one per sample: the newest in the order of arrival.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore, quote
from ml_assets.store.records import GivenLabel
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task

BATCH = 1000


@dataclass(frozen=True)
class Contradiction:
    """A sample to which the sources give different labels, so that it has no label.

    Args:
        said: Who says what, and where: (labeler, value, file).
    """

    sample_id: str
    said: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        """The contradicting labels in words."""
        told = (f"{value[:60]!r} by {labeler!r}" + (f" in {file}" if file else "") for labeler, value, file in self.said[:4])
        return f"sample {self.sample_id} is {' and '.join(told)}"


def keep(store: ProjectStore, given: Iterable[GivenLabel]) -> tuple[int, list[GivenLabel]]:
    """Store labels in `given_labels`; return how many rows changed, and the pushed labels that contradict each other.

    Labels of one labeler in one push that contradict each other are not stored. A pushed label that arrived before the stored
    one changes nothing, in whatever order they are read.
    """
    from_files, pushed, contradicting = list[GivenLabel](), dict[str, list[GivenLabel]](), list[GivenLabel]()
    for row in given:
        if row["arrival"] is None:
            from_files.append(row)
        elif (known := pushed.get(row["id"])) is None or _order(row) > _order(known[0]):
            pushed[row["id"]] = [row]
        elif _order(row) == _order(known[0]):
            known.append(row)
    newest = list[GivenLabel]()
    for each in pushed.values():
        if len({row["value"] for row in each}) > 1:
            contradicting += each
        else:
            newest.append(each[-1])
    table = store.table("given_labels")
    stored = {row["id"]: row for row in table.take([row["id"] for row in newest]).to_pylist()}
    newest = [row for row in newest if row["id"] not in stored or _order(row) >= _order(stored[row["id"]])]
    return table.upsert(rows("given_labels", [*from_files, *newest]), ignore=["at"]), contradicting


def take_back(store: ProjectStore, file: Collection[str], said: Collection[str]) -> None:
    """Delete the stored labels of a file that it no longer holds, where it now gives other labels to the same samples.

    Args:
        file: The file's URI, in all spellings.
        said: Ids of the labels that are in the file now.
    """
    table = store.table("given_labels")
    stored = table.read(["id", "sample_id", "labeler"], f"file IN ({', '.join(map(quote, file))})").to_pylist()
    now = {(row["sample_id"], row["labeler"]) for row in stored if row["id"] in said}
    gone = [row["id"] for row in stored if row["id"] not in said and (row["sample_id"], row["labeler"]) in now]
    table.remove(gone)
    # rows of earlier versions, which did not record the file of a label
    table.remove((content_id(sample, labeler) for sample, labeler in now), "file IS NULL AND arrival IS NULL")


def contradictions(given: pa.Table, task: Task) -> list[Contradiction]:
    """The samples with contradicting labels: by one labeler, or by several whose labels have no consensus."""
    came = given.filter(pc.is_null(given["arrival"]))
    counted = came.group_by("sample_id").aggregate([("value", "count_distinct")])
    doubtful = counted.filter(pc.greater(counted["value_count_distinct"], 1))["sample_id"].combine_chunks()
    said: dict[str, dict[str, dict[str, str]]] = {}
    for row in came.filter(pc.is_in(came["sample_id"], value_set=doubtful)).sort_by("id").to_pylist():
        said.setdefault(row["sample_id"], {}).setdefault(row["labeler"], {})[row["value"]] = row["file"] or ""
    found = []
    for sample, voices in sorted(said.items()):
        alone = any(len(values) > 1 for values in voices.values())
        if alone or task.consensus([next(iter(values)) for _, values in sorted(voices.items())]).value is None:
            listed = [(who, value, file) for who, values in sorted(voices.items()) for value, file in sorted(values.items())]
            found.append(Contradiction(sample, tuple(listed)))
    return found


def _order(row: GivenLabel | dict[str, Any]) -> tuple[int, Any]:
    return row["arrival"] or 0, row["at"]
