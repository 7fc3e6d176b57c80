"""Sends the predictions that the model was least sure of back to annotators, each once, as new samples from production."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from ml_assets.spool import inbox
from ml_assets.spool.speakers import MONITORING
from ml_assets.store import ProjectStore, quote
from ml_assets.store.records import Pushed
from ml_assets.store.schemas import rows


def pick(store: ProjectStore, per_day: int, below: float, at: datetime, days: int = 7) -> list[str]:
    """Send the least confident predictions of the last `days` to the inbox; return the ids of those picked by this call.

    Picks only inputs with a confidence below `below` that are not samples yet and were never picked; at most `per_day` on one
    UTC day, however often it is called. Picks are stored before they are sent, so that a call that was killed in between is
    completed by the next one.
    """
    chosen = _choose(store, per_day, below, at, days)
    if chosen:
        store.table("picks").insert(rows("picks", chosen))
    _send(store)
    return [row["id"] for row in chosen]


def _choose(store: ProjectStore, per_day: int, below: float, at: datetime, days: int) -> list[dict[str, Any]]:
    today = f"{at.astimezone(UTC):%Y-%m-%d}"
    budget = per_day - store.table("picks").count(f"day = {quote(today)}")
    if budget <= 0:
        return []
    since = (at - timedelta(days=days)).astimezone(UTC)
    where = (
        f"confidence < {below!r} AND (text IS NOT NULL OR media IS NOT NULL) AND sample_id IS NOT NULL "
        f"AND at >= timestamp '{since:%Y-%m-%d %H:%M:%S}'"
    )
    found = store.table("inference_log").read(["id", "sample_id", "confidence"], where)
    ranked = found.sort_by([("confidence", "ascending"), ("id", "ascending")]).to_pylist()
    wanted = {row["sample_id"] for row in ranked}
    taken = set(store.table("samples").take(sorted(wanted), ["id"])["id"].to_pylist())
    taken |= set(store.table("picks").read(["sample_id"])["sample_id"].to_pylist())
    chosen: dict[str, dict[str, Any]] = {}
    for row in ranked:
        if len(chosen) == budget:
            break
        sample = row["sample_id"]
        if sample not in taken and sample not in chosen:
            chosen[sample] = {"id": row["id"], "sample_id": sample, "day": today, "picked_at": at, "sent": False}
    return list(chosen.values())


def _send(store: ProjectStore) -> None:
    """Write picks that were not sent into the inbox, one file per call of `pick`, which has the same content when repeated."""
    waiting = store.table("picks").read(where="NOT sent").sort_by("id").to_pylist()
    for picked_at in sorted({row["picked_at"] for row in waiting}):
        group = [row for row in waiting if row["picked_at"] == picked_at]
        log = store.table("inference_log").take([row["id"] for row in group], ["id", "text", "media", "model", "confidence"])
        lines: list[Pushed] = [
            {
                "content": row["text"] if row["media"] is None else base64.b64encode(row["media"]).decode(),
                "columns": {"prediction_id": row["id"], "model": row["model"], "confidence": row["confidence"]},
                "received_at": picked_at.isoformat(),
                "client": MONITORING,
            }
            for row in log.to_pylist()
        ]
        if lines:  # empty if the predictions were deleted meanwhile
            inbox.write(store.project, "samples", lines)
        store.table("picks").upsert(rows("picks", [row | {"sent": True} for row in group]))
