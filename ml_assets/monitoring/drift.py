"""Measures drift: compares the traffic of the last days with the model's predictions on held-out data."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from ml_assets.modalities import Modality
from ml_assets.monitoring import figures
from ml_assets.monitoring.monitors import Monitor
from ml_assets.monitoring.profiles import Profile, merge, read
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.monitoring.traffic import NoReference, profile_reference
from ml_assets.store import ProjectStore, quote
from ml_assets.store.schemas import rows


def update_drift(store: ProjectStore, model: str, modality: Modality, settings: MonitoringSettings, at: datetime) -> pa.Table:
    """Measure the model's drift, after updating its reference profile, and store the result in table `drift`."""
    profile_reference(store, model, modality, at)
    found = measure(store, model, settings.monitors, settings.window_days, settings.minimum_rows, at)
    store.table("drift").upsert(found, ignore=["at"])
    return found


def measure(
    store: ProjectStore, model: str, monitors: Sequence[Monitor], window_days: int, minimum_rows: int, at: datetime
) -> pa.Table:
    """Rows of table `drift`: each monitor's finding on each column, for the model's traffic of the last `window_days`.

    `drifted` is null while the window holds fewer than `minimum_rows` predictions. Without traffic there are no rows.

    Raises:
        NoReference: The model's reference was not profiled.
    """
    reference, traffic = reference_profile(store, model), traffic_profile(store, model, window_days, at)
    if traffic is None:
        return rows("drift", [])
    day, enough = _day(at), traffic.rows >= minimum_rows
    return rows(
        "drift",
        [
            {
                "id": f"{day}/{model}/{monitor.type}/{f.column}", "monitor": monitor.type, "column": f.column, "model": model,
                "day": day, "score": f.score, "threshold": f.threshold, "algorithm": f.algorithm,
                "drifted": f.drifted if enough else None, "rows": traffic.rows, "at": at,
            }
            for monitor in monitors
            for f in monitor.measure(reference, traffic)
        ],
    )  # fmt: skip


def reference_profile(store: ProjectStore, model: str) -> Profile:
    """The profile of the model's predictions on held-out data. Raises `NoReference`."""
    found = store.table("profiles").take([f"reference/{model}"], ["profile"])["profile"].to_pylist()
    if not found:
        raise NoReference(f"the model {model!r} has no reference profile: profile its predictions on held-out data first")
    return read(found[0])


def traffic_profile(store: ProjectStore, model: str, window_days: int, at: datetime) -> Profile | None:
    """The profile of the model's traffic of the last `window_days`, the day of `at` included; None if there is none."""
    first = _day(at - timedelta(days=window_days - 1))
    where = f"model = {quote(model)} AND day >= {quote(first)} AND day <= {quote(_day(at))}"
    parts = store.table("profiles").read(["profile"], where)["profile"].to_pylist()
    return read(merge(parts)) if parts else None


def verdict(measured: pa.Table, minimum_rows: int) -> tuple[bool | None, str]:
    """Whether any column drifted (None with too few predictions), and a sentence that names the columns and distances.

    Args:
        measured: Result of `measure`.
        minimum_rows: Number of predictions below which there is no verdict.
    """
    findings = measured.to_pylist()
    count = findings[0]["rows"] if findings else 0
    if all(f["drifted"] is None for f in findings):
        return None, f"too few: {count} of {minimum_rows} predictions that a verdict needs"
    drifted = sorted((f for f in findings if f["drifted"]), key=lambda f: f["threshold"] / f["score"])
    if not drifted:
        return False, f"{count} predictions are like the held-out data in all {len(findings)} comparisons"
    named = ", ".join(f"{f['column']} ({f['algorithm']} {f['score']:.2f}, from {f['threshold']:.2f} on)" for f in drifted)
    return True, f"{count} predictions differ from the held-out data in {named}"


def drift_picture(store: ProjectStore, model: str, measured: pa.Table, window_days: int, at: datetime) -> bytes | None:
    """PNG chart of the measured drift and the distribution of the traffic; None if there is nothing to show."""
    traffic = traffic_profile(store, model, window_days, at)
    if traffic is None or not measured.num_rows:
        return None
    return figures.drift_chart(measured, reference_profile(store, model), traffic)


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"
