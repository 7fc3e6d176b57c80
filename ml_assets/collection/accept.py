"""What becomes of one record: a sample with its label, or a reject with the reason."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import BadRecord
from ml_assets.modalities import Modality, Undecodable
from ml_assets.records import Record, content_id, split_of
from ml_assets.tasks import InvalidLabel, Task

EXCERPT = 200


@dataclass(frozen=True)
class Verdict:
    """Rows of the tables `samples`, `given_labels` and `rejects`.

    Args:
        sample: None where the record is rejected.
        label: None where it has none, or an unknown one.
        reject: Of the record, or of its label alone.
    """

    sample: dict[str, Any] | None = None
    label: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None


def sample_id(modality: Modality, item: str | bytes) -> str:
    """The id of a sample: the hash of its content."""
    return content_id(modality.type, item)


def judge(record: Record | BadRecord, source: str, settings: CollectionSettings, task: Task, at: datetime) -> Verdict:
    """Decode and check the record. A good sample with an unknown class is kept, its label rejected."""
    if isinstance(record, BadRecord):
        return Verdict(reject=reject(source, record.origin, record.reason, record.excerpt, at))
    source = record.source or source
    try:
        content = record.content
        item = settings.modality.decode(settings.modality.from_json(content) if isinstance(content, str) else content)
        _check_length(settings, item)
        _check_text(record)
    except Undecodable as error:
        return Verdict(reject=reject(source, record.origin, str(error), record.content, at))
    key = sample_id(settings.modality, item)
    sample = {
        "id": key,
        settings.modality.column: item,
        "source": source,
        "origin": record.origin,
        "split": record.split or split_of(key, record.group, settings.test_share),
        "split_by": "source" if record.split else "hash",
        "group": record.group,
        "columns": json.dumps(record.columns, ensure_ascii=False, default=str) if record.columns else None,
        "collected_at": at,
    }
    if record.label is None:
        return Verdict(sample)
    try:
        value = task.check(record.label)
    except InvalidLabel as error:
        return Verdict(sample, reject=reject(source, record.origin + "#label", str(error), record.content, at))
    labeler = record.labeler or source
    label = {"id": content_id(key, labeler), "sample_id": key, "labeler": labeler, "labeler_kind": record.labeler_kind,
             "value": value, "at": at}  # fmt: skip
    return Verdict(sample, label)


def is_text(text: str) -> bool:
    """Whether a table can hold it: bytes that are no UTF-8 come through readers as halves of surrogate pairs."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_length(settings: CollectionSettings, item: str | bytes) -> None:
    length, (shortest, longest) = settings.modality.length(item), settings.bounds
    if length < shortest:
        raise Undecodable(f"too short: {length:g} {settings.modality.unit}, below {shortest:g}")
    if length > longest:
        raise Undecodable(f"too long: {length:g} {settings.modality.unit}, above {longest:g}")


def _check_text(record: Record) -> None:
    columns = json.dumps(record.columns, ensure_ascii=False, default=str)
    for name, text in (("group", record.group), ("labeler", record.labeler), ("columns", columns)):
        if text is not None and not is_text(text):
            raise Undecodable(f"not UTF-8 text in its {name}")


def reject(source: str, origin: str, reason: str, content: str | bytes, at: datetime) -> dict[str, Any]:
    """A row of `rejects`."""
    excerpt = content[:EXCERPT]
    data = excerpt.encode("utf-8", "replace") if isinstance(excerpt, str) else excerpt
    return {"id": content_id(source, origin, reason), "source": source, "origin": origin, "reason": reason,
            "excerpt": data.decode("utf-8", "replace"), "at": at}  # fmt: skip
