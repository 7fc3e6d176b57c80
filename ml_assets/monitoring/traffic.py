"""Profiles each day's predictions of each model, and each model's predictions on held-out data as the reference."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml_assets.errors import MLAssetsError
from ml_assets.modalities import Modality
from ml_assets.monitoring.profiles import merge, profile
from ml_assets.state.clock import now as clock
from ml_assets.store import ProjectStore, quote
from ml_assets.store.schemas import rows

BATCH = 1024
FIRST_DAY = "2025-01-01"
"""First day of predictions; an earlier time comes from a clock that was wrong."""


class NoReference(MLAssetsError, LookupError):
    """Raised when the model has no predictions on held-out data to compare traffic with."""


def traffic_columns(log: pa.Table, modality: Modality) -> pa.Table:
    """The columns to profile for rows of `inference_log`: input description, label, confidence, entropy, margin."""
    columns = (modality.column, "label", "confidence", "scores")
    items, labels, confidences, scores = (log[name].to_pylist() for name in columns)
    return reference_columns(items, labels, confidences, scores, modality)


def reference_columns(
    items: Sequence[Any],
    labels: Sequence[str],
    confidences: Sequence[float],
    scores: Sequence[str | None],
    modality: Modality,
) -> pa.Table:
    """One row per prediction with the columns to profile, from values; `scores` is JSON of each class's probability, or None.

    `label` is the class, or for labels with several classes the one with the highest score, as whole answers rarely repeat.
    `entropy` is in nats (0: certain), `margin` is the best probability minus the second best. Missing inputs and missing scores
    become nulls in what is made of them, so that they are counted as missing and never as zeros.
    """
    present = [item for item in items if item is not None]
    position = np.cumsum([item is not None for item in items]) - 1
    at = pa.array(position, pa.int64(), mask=np.array([item is None for item in items], dtype=bool))
    described = modality.describe(present).take(at)
    parsed: list[dict[str, float]] = [json.loads(text) if text else {} for text in scores]
    entropy, margin = _uncertainty([list(values.values()) for values in parsed])
    classes = [
        label if not values or label in values else max(values, key=lambda name: values[name])
        for label, values in zip(labels, parsed, strict=True)
    ]
    columns = {name: described[name] for name in described.column_names}
    columns |= {"label": pa.array(classes, pa.string()), "confidence": pa.array(confidences, pa.float64())}
    return pa.table(columns | {"entropy": entropy, "margin": margin})


def _uncertainty(values: Sequence[Sequence[float]]) -> tuple[pa.Array, pa.Array]:
    missing = np.array([len(v) == 0 for v in values], dtype=bool)
    width = max((len(v) for v in values), default=0)
    table = np.zeros((len(values), max(width, 2)))
    for i, v in enumerate(values):
        table[i, : len(v)] = v
    logs = np.log(table, where=table > 0, out=np.zeros_like(table))
    ranked = np.sort(table, axis=1)
    return pa.array(-(table * logs).sum(1), mask=missing), pa.array(ranked[:, -1] - ranked[:, -2], mask=missing)


def stale_days(store: ProjectStore, at: datetime | None = None) -> list[str]:
    """Days (UTC, `2026-01-31`), oldest first, whose profiles do not match the logged predictions.

    Covers `FIRST_DAY` to the day of `at`, by default today. Predictions dated outside of it are kept and belong to no day.
    """
    today, now, stored = at or clock(), _logged(store), _stored(store)
    stale = {day for day, model in now.keys() | stored.keys() if now.get((day, model)) != stored.get((day, model))}
    return sorted(day for day in stale if is_day(day, today))


def is_day(day: str, at: datetime) -> bool:
    """Whether the day lies between `FIRST_DAY` and the day of `at`, so that predictions can be of that day."""
    return FIRST_DAY <= day <= f"{at.astimezone(UTC):%Y-%m-%d}"


def undated(store: ProjectStore, at: datetime) -> tuple[int, str]:
    """Number of logged predictions dated before `FIRST_DAY` or after the day of `at`, and a sentence with an example."""
    after = datetime.fromisoformat(f"{at.astimezone(UTC):%Y-%m-%d}") + timedelta(days=1)
    where = f"at < timestamp '{FIRST_DAY} 00:00:00' OR at >= timestamp '{after:%Y-%m-%d} 00:00:00'"
    found = store.table("inference_log").read(["id", "at"], where)
    if not found.num_rows:
        return 0, "every prediction has its day"
    first = found.sort_by("id").slice(0, 1).to_pylist()[0]
    return found.num_rows, (
        f"{found.num_rows} predictions, such as {first['id']} of {first['at']:%Y-%m-%d}, are dated before {FIRST_DAY} or in "
        f"days to come: the clock of an endpoint was wrong; they are kept, and no profile, drift or accuracy of a day has them"
    )


def profile_day(store: ProjectStore, day: str, modality: Modality, at: datetime) -> int:
    """Update the day's profiles, one per model that answered on it; return how many were written or removed."""
    now, stored = _logged(store, day), _stored(store, day)
    gone = [f"{d}/{model}" for d, model in stored.keys() - now.keys()]
    store.table("profiles").remove(gone)
    made = []
    for (_, model), (count, digest) in sorted(now.items()):
        if stored.get((day, model)) != (count, digest):
            where = f"{_on(day)} AND model = {quote(model)}"
            batches = store.table("inference_log").batches([modality.column, "label", "confidence", "scores"], where, BATCH)
            began = datetime.fromisoformat(day).replace(tzinfo=UTC)
            parts = [profile(traffic_columns(pa.Table.from_batches([b]), modality), began) for b in batches if b.num_rows]
            made.append(_row(f"{day}/{model}", day, model, count, digest, merge(parts), at))
    if made:
        store.table("profiles").upsert(rows("profiles", made))
    return len(made) + len(gone)


def profile_reference(store: ProjectStore, model: str, modality: Modality, at: datetime) -> bool:
    """Update the model's reference profile; return whether it was written.

    Raises:
        NoReference: There are no predictions of the model on held-out data.
    """
    where = f"model = {quote(model)}"
    test = store.table("test_predictions")
    count, digest = test.count(where), test.digest(["sample_id", "label", "confidence", "scores"], where)
    if not count:
        raise NoReference(f"the model {model!r} has no predictions on held-out data: evaluate it first")
    stored = store.table("profiles").take([f"reference/{model}"], ["rows", "rows_digest"]).to_pylist()
    if stored == [{"rows": count, "rows_digest": digest}]:
        return False
    parts = []
    for batch in test.batches(["sample_id", "label", "confidence", "scores"], where, BATCH):
        values = batch.to_pydict()
        samples = store.table("samples").take(values["sample_id"], ["id", modality.column]).to_pydict()
        known = dict(zip(samples["id"], samples[modality.column], strict=True))
        items = [known.get(i) for i in values["sample_id"]]
        parts.append(profile(reference_columns(items, values["label"], values["confidence"], values["scores"], modality), at))
    store.table("profiles").upsert(rows("profiles", [_row(f"reference/{model}", None, model, count, digest, merge(parts), at)]))
    return True


def _row(key: str, day: str | None, model: str, count: int, digest: str, made: bytes, at: datetime) -> dict[str, object]:
    return {"id": key, "day": day, "model": model, "rows": count, "rows_digest": digest, "profile": made, "at": at}


def _logged(store: ProjectStore, day: str | None = None) -> dict[tuple[str, str], tuple[int, str]]:
    """Number and digest of the logged predictions of each (day, model). Logged rows never change, so their ids suffice."""
    import pandas as pd

    found: dict[tuple[str, str], tuple[int, int]] = {}
    where = None if day is None else _on(day)
    for batch in store.table("inference_log").batches(["id", "at", "model"], where, 65536):
        # a sum of hashes does not depend on the order of the rows or on batch boundaries
        hashes = pd.util.hash_array(np.asarray(batch["id"].to_pylist(), dtype=object), categorize=False)
        days = pc.strftime(batch["at"], "%Y-%m-%d").to_pylist()
        groups = pd.DataFrame({"day": days, "model": batch["model"].to_pylist()}).groupby(["day", "model"], sort=False)
        for (on, model), members in cast("dict[tuple[str, str], NDArray[np.int64]]", groups.indices).items():
            rows_before, sum_before = found.get((on, model), (0, 0))
            total = (sum_before + int(hashes[members].sum(dtype=np.uint64))) % 2**64
            found[on, model] = (rows_before + len(members), total)
    return {key: (count, f"{total:016x}") for key, (count, total) in found.items()}


def _stored(store: ProjectStore, day: str | None = None) -> dict[tuple[str, str], tuple[int, str]]:
    where = "day IS NOT NULL" if day is None else f"day = {quote(day)}"
    kept = store.table("profiles").read(["day", "model", "rows", "rows_digest"], where).to_pylist()
    return {(row["day"], row["model"]): (row["rows"], row["rows_digest"]) for row in kept}


def _on(day: str) -> str:
    """SQL filter for times on that day."""
    first = datetime.fromisoformat(day)
    after = first + timedelta(days=1)
    return f"at >= timestamp '{first:%Y-%m-%d} 00:00:00' AND at < timestamp '{after:%Y-%m-%d} 00:00:00'"
