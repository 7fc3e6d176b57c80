"""Typed records of the rows that stages exchange, and checks of whether a table can store a value."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from ml_assets.state.digests import content_id
from ml_assets.texts.offsets import UNMOVED, Offsets


def split_of(sample_id: str, group: str | None = None, test_share: float = 0.2) -> str:
    """Assign a sample to `train` or `test` by the hash of its group or else its id, so that more data never moves it."""
    share = int(content_id("split", group or sample_id)[:12], 16) / 16**12
    return "test" if share < test_share else "train"


def is_text(text: str) -> bool:
    """Whether the text can be stored in a table: it holds no lone surrogates, which stand for bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def why_not(row: Mapping[str, Any]) -> str | None:
    """Why a table cannot store this row from outside, in a few words; None if it can.

    Every row is checked here before it is written in a batch with others: one that cannot be stored would fail the whole batch.
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
"""Columns with names, which are shown to people and sent to other systems."""
LONGEST_NAME = 1000
"""Most characters of a name."""


@dataclass(frozen=True)
class Record:
    """What a source yields for one item, before validation.

    Args:
        content: The raw content: text, or bytes that the modality decodes.
        origin: Its exact place in the source, such as `train.csv#17`. The same record has the same origin on every read.
        split: `train` or `test` if the source fixes it, else None.
        group: Samples of one group (a speaker, a document) share a split.
        label: A label that came with it, not yet validated; `labeler` and `labeler_kind` say whose it is.
        columns: All other columns of the source, as values that JSON can hold.
        source: A source name that replaces that of the source that yields it.
        arrival: For a pushed record, its place in the order of all pushes; 0 if it is from before they were counted.
        given_at: When it was pushed.
        refused: Why its label is rejected, whatever its value; None if it is not.
        unit: The unit of positions and sizes in the label, if it is not the task's own.
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
    """A row of `samples`: one collected item, with its content in either `text` or `media`."""

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
    """A row of `rejects`: a record that was rejected, and why."""

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
    """A row of `annotations`: the answer of one labeler, a person or a program, to one sample."""

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
    """A row of `labels`: the consensus of all annotations of a sample; `value` is None where they conflict."""

    id: str
    value: str | None
    annotators: int
    agreement: float
    conflict: bool
    annotation_ids: str
    labelers: str


class Pushed(TypedDict, total=False):
    """A line of the inbox: a sample or a label that a client pushed, with the name and the id of its API key."""

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
        at: When the model answered.
        model: Version of the model, such as `newsgroups-3`.
        label: The value of the label task.
        confidence: How sure the model was of it.
        scores: How sure it was of each class; empty if unknown.
        sample_id: The id under which the sample is collected.
        text: The item, if the modality's items are texts.
        media: The item, if they are files.
        client: Name of the API key that asked.
        offsets: The positions of the item's characters in what the client sent.
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
        """The prediction as a row of `inference_log`."""
        scores = json.dumps(self.scores) if self.scores else None
        return vars(self) | {"scores": scores, "offsets": self.offsets.to_json()}


@dataclass(frozen=True)
class Feedback:
    """The right answer to a prediction, as a client reported it: a row of `feedback`.

    Args:
        id: An id that is the same for the same answer by the same client (`feedback_id`).
        prediction_id: The id of the prediction.
        label: The right value of the label task.
        at: When it was reported.
        client: Name of the API key that reported it.
    """

    id: str
    prediction_id: str
    label: str
    at: datetime
    client: str | None = None

    def row(self) -> dict[str, Any]:
        """The feedback as a row of `feedback`."""
        return dict(vars(self))


def prediction_id(at: datetime) -> str:
    """A new id, unique across workers and sorted by time: milliseconds, then 80 random bits, as 32 hexadecimal digits."""
    return f"{max(0, int(at.timestamp() * 1000)):012x}{secrets.token_hex(10)}"


def feedback_id(prediction: str, label: str, client: str) -> str:
    """The id of a feedback row: a hash of the prediction's id, the label and the client."""
    return content_id("feedback", prediction, label, client)
