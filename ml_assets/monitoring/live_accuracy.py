"""Computes accuracy in production from feedback, per model and day."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import fsum, sqrt
from statistics import NormalDist
from typing import Any

import pyarrow as pa

from ml_assets.errors import InvalidValue
from ml_assets.monitoring.traffic import is_day
from ml_assets.store import ProjectStore, quote
from ml_assets.store.schemas import rows
from ml_assets.tasks import InvalidLabel, Task
from ml_assets.texts.offsets import Offsets


def live_accuracy(store: ProjectStore, task: Task, at: datetime) -> pa.Table:
    """Rows of table `live_accuracy`: one per model and day of prediction (UTC) that has feedback, by day.

    The accuracy is how alike prediction and answer are on average, as the task says: of one class the share that is right, of
    tags, spans and boxes the share of them that is. Of several answers to one prediction the newest counts. Feedback on
    predictions that are not in the log, or on places that the text does not have, is left out. Feedback that people give as
    they please is no random sample: it says how often they were content, not more.
    """
    alike: dict[tuple[str, str], list[float]] = {}
    for when, model, each in _answered(store, task):
        day = f"{when.astimezone(UTC):%Y-%m-%d}"
        if is_day(day, at):
            alike.setdefault((day, model), []).append(each)
    return rows("live_accuracy", [_row(day, model, each, at) for (day, model), each in sorted(alike.items())])


def newest_figures(found: pa.Table) -> dict[str, Any]:
    """The figures of the newest day among rows of `live_accuracy`; an empty dictionary if there are none."""
    last = found.sort_by("day").slice(max(found.num_rows - 1, 0)).to_pylist()
    return {name: last[0][name] for name in ("day", "model", "feedback", "accuracy", "low", "high")} if last else {}


def accuracy_since(store: ProjectStore, task: Task, model: str, since: datetime, until: datetime) -> tuple[int, float | None]:
    """Number of the model's predictions from `since` to `until` with feedback, and their accuracy (None without any)."""
    alike = [each for when, made_by, each in _answered(store, task) if made_by == model and since <= when <= until]
    return len(alike), fsum(alike) / len(alike) if alike else None


def _answered(store: ProjectStore, task: Task) -> Iterator[tuple[datetime, str, float]]:
    """Yield time, model and similarity to the newest feedback for each prediction that has feedback."""
    newest = {
        f["prediction_id"]: f for f in sorted(store.table("feedback").read().to_pylist(), key=lambda f: (f["at"], f["id"]))
    }
    placed = ["text", "offsets"] if task.names_places() else []
    for p in store.table("inference_log").take(list(newest), ["id", "at", "model", "label", *placed]).to_pylist():
        answer = newest[p["id"]]["label"]
        if placed and p["text"] is not None:
            try:  # positions in feedback refer to the text as it was sent
                answer = task.placed(answer, p["text"], Offsets.from_json(p["offsets"]))
            except InvalidLabel:
                continue
        yield p["at"], p["model"], task.similarity(p["label"], answer)


def promised(store: ProjectStore, task: Task, model: str) -> tuple[float, float] | None:
    """The 95 % interval of the model's accuracy on its test samples; None if there are none."""
    where = f"model = {quote(model)}"
    tested = store.table("test_predictions").read(["target", "label"], where).to_pylist()
    return interval([task.similarity(row["label"], row["target"]) for row in tested]) if tested else None


def interval(alike: Sequence[float]) -> tuple[float, float]:
    """The 95 % Wilson interval (1927) of the mean of figures from 0 to 1. Raises `ValueError` if there are none.

    It is that of a share. Figures in between vary less than ones and zeros of the same mean: for them it is rather too wide.
    """
    if not alike:
        raise InvalidValue("no interval from 0 answers: at least one is needed")
    n, mean, z = len(alike), fsum(alike) / len(alike), NormalDist().inv_cdf(0.975)
    middle = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # rounding must not put the mean outside of the interval: charts draw the distances to both ends
    return max(0.0, min(middle - half, mean)), min(1.0, max(middle + half, mean))


def _row(day: str, model: str, alike: list[float], at: datetime) -> dict[str, object]:
    low, high = interval(alike)
    right = sum(each == 1 for each in alike)
    return {"id": f"{day}/{model}", "model": model, "day": day, "feedback": len(alike), "correct": right,
            "accuracy": fsum(alike) / len(alike), "low": low, "high": high, "at": at}  # fmt: skip
