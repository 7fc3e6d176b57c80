"""Lines as the endpoint's workers write them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def prediction(
    key: str, text: str = "a text", confidence: float = 0.9, at: datetime = AT, model: str = "reviews-1"
) -> dict[str, Any]:
    return {
        "kind": "prediction", "id": key, "at": at.isoformat(), "model": model, "client": "app",
        "sample_id": content_id("text", text), "text": text,
        "label": "good", "confidence": confidence, "scores": {"good": confidence, "bad": 1 - confidence},
    }  # fmt: skip


def feedback(key: str, of: str, label: str = "bad", at: datetime = AT) -> dict[str, Any]:
    return {"kind": "feedback", "id": key, "prediction_id": of, "label": label, "at": at.isoformat(), "client": "app"}


def written(lines: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for line in lines)


def log(store: ProjectStore, lines: Sequence[dict[str, Any]]) -> None:
    """The predictions as rows of the log."""
    made = [line | {"scores": json.dumps(line["scores"]), "at": datetime.fromisoformat(line["at"])} for line in lines]
    store.table("inference_log").insert(rows("inference_log", made))


def days_ago(days: int) -> datetime:
    return AT - timedelta(days=days)
