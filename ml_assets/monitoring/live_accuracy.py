"""Accuracy in production: what feedback says of the predictions, per model and day."""

from datetime import UTC, datetime

import pyarrow as pa

from ml_assets.records import rows
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task


def live_accuracy(store: ProjectStore, task: Task, at: datetime) -> pa.Table:
    """Rows of table `live_accuracy`: one per model and day of prediction (UTC) that has feedback, by day.

    Of several answers to one prediction the newest counts. Feedback on predictions that are not in the log is left out.
    Feedback that people give as they please is no random sample: it says how often they were content, not more.
    """
    newest = {
        f["prediction_id"]: f for f in sorted(store.table("feedback").read().to_pylist(), key=lambda f: (f["at"], f["id"]))
    }
    predictions = store.table("inference_log").take(list(newest), ["id", "at", "model", "label"]).to_pylist()
    counts: dict[tuple[str, str], list[bool]] = {}
    for p in predictions:
        day = f"{p['at'].astimezone(UTC):%Y-%m-%d}"
        counts.setdefault((day, p["model"]), []).append(task.same(p["label"], newest[p["id"]]["label"]))
    return rows("live_accuracy", [_row(day, model, right, at) for (day, model), right in sorted(counts.items())])


def interval(correct: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927). Raises `ValueError` if there is nothing it is a share of."""
    from scipy.stats import binomtest

    if of < 1:
        raise ValueError(f"no interval from {of} answers: at least one is needed")
    both = binomtest(correct, of).proportion_ci(confidence_level=0.95, method="wilson")
    return float(both.low), float(both.high)


def _row(day: str, model: str, right: list[bool], at: datetime) -> dict[str, object]:
    low, high = interval(sum(right), len(right))
    return {"id": f"{day}/{model}", "model": model, "day": day, "feedback": len(right), "correct": sum(right),
            "accuracy": sum(right) / len(right), "low": low, "high": high, "at": at}  # fmt: skip
