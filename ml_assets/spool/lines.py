"""Converts predictions and feedback to and from the lines of segments, one JSON object per line."""

import base64
import json
import math
from typing import Any

from ml_assets.errors import InvalidValue
from ml_assets.state.clock import moment
from ml_assets.store.records import Feedback, Prediction
from ml_assets.texts.offsets import Offsets


def to_line(record: Prediction | Feedback) -> dict[str, Any]:
    """Convert a record to the JSON object of its line; fields that are None are left out."""
    kind = "prediction" if isinstance(record, Prediction) else "feedback"
    line = {"kind": kind} | {name: value for name, value in vars(record).items() if value is not None}
    line["at"] = record.at.isoformat()
    if isinstance(record, Prediction):
        if record.media is not None:
            line["media"] = base64.b64encode(record.media).decode()
        del line["offsets"]
        if not record.offsets.unchanged:
            line["offsets"] = record.offsets.to_json()
    return line


def from_line(line: bytes) -> Prediction | Feedback | None:
    """Parse a line; None if it is neither a prediction nor feedback, or has values that a table cannot store."""
    try:
        value = json.loads(line)
        known: dict[str, Any] = {"id": _word(value["id"]), "at": moment(value["at"]), "label": _word(value["label"])}
        known["client"] = _text(value.get("client"))
        if value["kind"] == "feedback":
            return Feedback(**known, prediction_id=_word(value["prediction_id"]))
        if value["kind"] != "prediction":
            return None
        confidence, scores = float(value["confidence"]), {str(k): float(v) for k, v in (value.get("scores") or {}).items()}
        if not all(map(math.isfinite, [confidence, *scores.values()])):
            return None
        return Prediction(
            **known,
            model=_word(value["model"]),
            confidence=confidence,
            scores=scores,
            sample_id=_text(value.get("sample_id")),
            text=_text(value.get("text")),
            media=base64.b64decode(value["media"], validate=True) if value.get("media") else None,
            offsets=Offsets.from_json(_text(value.get("offsets"))),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _word(value: Any) -> str:
    if not value:
        raise InvalidValue("empty")
    return str(_text(value))


def _text(value: Any) -> str | None:
    if value is not None:
        value.encode("utf-8")  # half a surrogate pair, which JSON can hold and a table cannot, is a ValueError
    return None if value is None else str(value)
