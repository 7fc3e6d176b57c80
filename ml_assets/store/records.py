"""The nouns that cross stages, as typed records; and what a table can hold of what comes from outside."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from ml_assets.state.digests import content_id
from ml_assets.texts.offsets import UNMOVED, Offsets


def split_of(sample_id: str, group: str | None = None, test_share: float = 0.2) -> str:
    """`train` or `test`, from the hash of the group or else of the id: growth never moves a sample."""
    share = int(content_id("split", group or sample_id)[:12], 16) / 16**12
    return "test" if share < test_share else "train"


def is_text(text: str) -> bool:
    """Whether a table can hold it: bytes that are no UTF-8 come through readers as halves of surrogate pairs."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def why_not(row: Mapping[str, Any]) -> str | None:
    """Why a table cannot hold this row, which came from outside, in a few words; None if it can.

    The one place that decides it, asked of every row before it goes among others: one that cannot be held would stop them all.
    """
    for name, value in row.items():
        if isinstance(value, str):
            if not is_text(value):
                return f"not UTF-8 text in its {name}"
            if name in NAMES and "\x00" in value:
                return f"a zero character in its {name}"
            if name in NAMES and len(value) > LONGEST_NAME:
                return f"its {name} is longer than {LONGEST_NAME:,} characters"
        elif isinstance(value, datetime) and (value.tzinfo is None or not 1970 <= value.year < 9999):
            return f"its {name} is no time at which it can have come: {value.isoformat()}"
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            return f"too large a number in its {name}"
    return None


NAMES = ("group", "labeler", "sample_id", "client", "source")
"""Columns that hold names, which people read and which other systems get."""
LONGEST_NAME = 1000
"""Characters of a name."""


@dataclass(frozen=True)
class Record:
    """What a source yields, before it is checked.

    Args:
        content: The raw content: text, or bytes that the modality decodes.
        origin: Where exactly it stood, such as `train.csv#17`. The same record has the same origin on every read.
        split: `train` or `test` if the source fixes it, else None.
        group: Samples of one group (a speaker, a document) share a split.
        label: A label that came with it, not yet validated; with `labeler` and `labeler_kind`.
        columns: Everything else that the source knows, as JSON-able values.
        source: Another source name than that of the source that yields it.
        arrival: Of what was pushed: its place in the order of all pushes, 0 if it came before they were counted.
        given_at: When it was pushed.
        refused: Why its label cannot be taken, whatever it is.
        unit: The unit of places and sizes in the label, where it is not the task's own.
    """

    content: str | bytes
    origin: str
    split: str | None = None
    group: str | None = None
    label: Any = None
    labeler: str | None = None
    labeler_kind: str = "published"
    columns: dict[str, Any] | None = None
    source: str | None = None
    arrival: int | None = None
    given_at: datetime | None = None
    refused: str | None = None
    unit: str | None = None


class Sample(TypedDict):
    """A row of `samples`: what was collected. One of `text` and `media` holds the content."""

    id: str
    text: str | None
    media: bytes | None
    source: str
    origin: str
    split: str
    split_by: str
    group: str | None
    columns: str | None
    collected_at: datetime


class Reject(TypedDict):
    """A row of `rejects`: what was set aside, and why."""

    id: str
    source: str
    origin: str
    reason: str
    excerpt: str
    at: datetime


class GivenLabel(TypedDict):
    """A row of `given_labels`: a label that came with the data or through the API."""

    id: str
    sample_id: str
    labeler: str
    labeler_kind: str
    value: str
    at: datetime
    file: str | None
    arrival: int | None


class Annotation(TypedDict):
    """A row of `annotations`: an answer to a sample, whoever gave it."""

    id: str
    sample_id: str
    labeler: str
    labeler_kind: str
    value: str
    origin: str
    created_at: datetime
    updated_at: datetime
    lead_seconds: float | None
    deleted: bool


class Label(TypedDict):
    """A row of `labels`: the joint answer of all who annotated a sample; none where they conflict."""

    id: str
    value: str | None
    annotators: int
    agreement: float
    conflict: bool
    annotation_ids: str
    labelers: str


class Pushed(TypedDict, total=False):
    """A line of the inbox: a sample or a label that a client sent, with the name and the id of the API key that sent it."""

    content: Any
    sample_id: str
    label: Any
    labeler: str
    labeler_kind: str
    group: str
    columns: dict[str, Any]
    received_at: str
    client: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model answered about one sample: a row of `inference_log`.

    Args:
        id: 32 hexadecimal digits (`prediction_id`).
        at: When it was answered.
        model: Version of the model, such as `newsgroups-3`.
        label: The value of the label task.
        confidence: How sure the model was of it.
        scores: How sure it was of each class; empty if that is not known.
        sample_id: Under which the sample is collected.
        text: The item, where the modality's items are texts.
        media: The item, where they are files.
        client: Name of the API key that asked.
        offsets: Where the item's characters stood in what the client sent.
    """

    id: str
    at: datetime
    model: str
    sample_id: str | None = None
    text: str | None = None
    media: bytes | None = None
    label: str
    confidence: float
    scores: dict[str, float] = field(default_factory=dict)
    client: str | None = None
    offsets: Offsets = UNMOVED

    def row(self) -> dict[str, Any]:
        """Its row in the table."""
        scores = json.dumps(self.scores) if self.scores else None
        return vars(self) | {"scores": scores, "offsets": self.offsets.to_json()}


@dataclass(frozen=True)
class Feedback:
    """What turned out to be right about a prediction: a row of `feedback`.

    Args:
        id: The same answer by the same client has the same one (`feedback_id`).
        prediction_id: Of which prediction.
        label: The value of the label task that is right.
        at: When it was told.
        client: Name of the API key that told it.
    """

    id: str
    prediction_id: str
    label: str
    at: datetime
    client: str | None = None

    def row(self) -> dict[str, Any]:
        """Its row in the table."""
        return dict(vars(self))


def prediction_id(at: datetime) -> str:
    """32 hexadecimal digits: the time in milliseconds, then 80 random bits. Unique across workers; sorts by time."""
    return f"{max(0, int(at.timestamp() * 1000)):012x}{secrets.token_hex(10)}"


def feedback_id(prediction: str, label: str, client: str) -> str:
    """The id of an answer: that of the same answer by the same client is the same."""
    return content_id("feedback", prediction, label, client)
