"""Turns one record of a source into a sample with its label, or into a reject with the reason."""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import BadRecord
from ml_assets.modalities import Modality, Undecodable
from ml_assets.state.digests import content_id
from ml_assets.store.records import GivenLabel, Record, Reject, Sample, split_of, why_not
from ml_assets.tasks import InvalidLabel, Task

EXCERPT = 200
FILE_NAME = re.compile(r"[^\n]{1,400}\.[A-Za-z0-9]{2,5}")
DEEP = "nested too deeply"
LABEL = "#label"
"""Suffix of a reject's origin where only the label of a record was refused."""
REASON = 500
"""Maximum length of a reason, in characters: a reason may quote content, which may be large."""


@dataclass(frozen=True)
class Verdict:
    """The rows of the tables `samples`, `given_labels` and `rejects` that one record becomes.

    Args:
        sample: None where the record is rejected.
        label: None where it has none, or an unknown one.
        reject: The reject of the record, or only of its label; None if nothing was refused.
    """

    sample: Sample | None = None
    label: GivenLabel | None = None
    reject: Reject | None = None


def judge(record: Record | BadRecord, source: str, settings: CollectionSettings, task: Task, at: datetime) -> Verdict:
    """Decode and check one record and return its rows; a good sample with an invalid label is kept without the label."""
    if isinstance(record, BadRecord):
        return Verdict(reject=reject(source, record.origin, record.reason, record.excerpt, at))
    source = record.source or source
    try:
        given = settings.modality.from_json(record.content) if isinstance(record.content, str) else record.content
        item = settings.modality.decode(given)
        _check_length(settings, item)
        columns = _columns(record)
    except Undecodable as error:
        why = str(error) + _meant(record.content, settings.modality)
        return Verdict(reject=reject(source, record.origin, why, record.content, at))
    except RecursionError:
        return Verdict(reject=reject(source, record.origin, DEEP, record.content, at))
    key = settings.modality.sample_id(item)
    sample: Sample = {
        "id": key,
        "text": item if settings.modality.column == "text" else None,
        "media": item if settings.modality.column == "media" else None,
        "source": source,
        "origin": record.origin,
        "split": record.split or split_of(key, record.group, settings.test_share),
        "split_by": "source" if record.split else "hash",
        "group": record.group,
        "columns": columns,
        "collected_at": at,
    }
    if wrong := why_not(sample):
        return Verdict(reject=reject(source, record.origin, wrong, record.content, at))
    if record.label is None:
        return Verdict(sample)
    try:
        answer = record.label if record.unit is None else task.in_unit(record.label, record.unit, settings.modality.size(item))
        value = task.placed(task.parse(answer), item, settings.modality.offsets(given))
        label = _label(record, key, record.labeler or source, value, at)
    except (InvalidLabel, RecursionError) as error:
        error = InvalidLabel(DEEP) if isinstance(error, RecursionError) else error
        return Verdict(sample, reject=reject(source, record.origin + LABEL, str(error), record.content, at))
    return Verdict(sample, label)


def _label(record: Record, key: str, labeler: str, value: str, at: datetime) -> GivenLabel:
    """The row of `given_labels` for the label of a record. Raises `InvalidLabel`.

    Labels from files are kept per file; of labels that are pushed to the API each labeler has one per sample.
    """
    if record.refused:
        raise InvalidLabel(record.refused)
    file = None if record.arrival is not None else record.origin.rpartition("#")[0] or record.origin
    label: GivenLabel = {
        "id": content_id(key, labeler) if file is None else content_id(key, labeler, file, value),
        "sample_id": key,
        "labeler": labeler,
        "labeler_kind": record.labeler_kind,
        "value": value,
        "at": record.given_at or at,
        "file": file,
        "arrival": record.arrival,
    }
    if wrong := why_not(label):
        raise InvalidLabel(wrong)
    return label


def _meant(content: str | bytes, modality: Modality) -> str:
    """A hint on what to do about content that seems to be the name of a file, or the empty string."""
    names_a_file = modality.has_files and isinstance(content, str) and FILE_NAME.fullmatch(content)
    return "; if the table's column holds paths of files, name it under `file_columns`" if names_a_file else ""


def _check_length(settings: CollectionSettings, item: str | bytes) -> None:
    length, (shortest, longest) = settings.modality.length(item), settings.bounds
    if length < shortest:
        raise Undecodable(f"too short: {length:g} {settings.modality.unit}, below {shortest:g}")
    if length > longest:
        raise Undecodable(f"too long: {length:g} {settings.modality.unit}, above {longest:g}")


def _columns(record: Record) -> str | None:
    """The further columns of the record as JSON, with null for NaN; None if there are none. Raises `Undecodable`."""
    if not record.columns:
        return None
    try:
        return json.dumps(_known(record.columns), ensure_ascii=False, default=str, allow_nan=False)
    except ValueError as error:  # infinity, or an integer with thousands of digits
        raise Undecodable("a number in its columns that JSON cannot hold") from error


def _known(value: Any) -> Any:
    """The value with every NaN in it replaced by None."""
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def reject(source: str, origin: str, reason: str, content: str | bytes, at: datetime) -> Reject:
    """A row of `rejects`: the record that was refused, with the reason and an excerpt of its content."""
    reason = shown(reason)
    reason = reason if len(reason) <= REASON else reason[:REASON] + " …"
    return {"id": content_id(source, origin, reason), "source": source, "origin": origin, "reason": reason,
            "excerpt": shown(content[:EXCERPT]), "at": at}  # fmt: skip


def shown(text: str | bytes) -> str:
    """The text with whatever is not valid UTF-8 replaced, so that a table can hold it."""
    return (text.encode("utf-8", "replace") if isinstance(text, str) else text).decode("utf-8", "replace")
