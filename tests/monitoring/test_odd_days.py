"""Predictions of a clock that was wrong: kept, told, and of no day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from spool.lines import feedback, log, prediction, written

from ml_assets.commands.runner import Runner
from ml_assets.commands.status import _last_day
from ml_assets.modalities import Text
from ml_assets.monitoring.assets import DAYS, monitoring_assets
from ml_assets.monitoring.checks import monitoring_checks
from ml_assets.monitoring.live_accuracy import live_accuracy
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.monitoring.traffic import FIRST_DAY, stale_days, undated
from ml_assets.orchestration.resources import Workspace
from ml_assets.spool.adoption import adopt
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice

TASK = SingleChoice(classes=("good", "bad"))
TIMES = [
    datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC),
    datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), now() + timedelta(days=1),
    now() + timedelta(days=400),
]  # fmt: skip


def check(store: ProjectStore, name: str) -> dg.AssetCheckResult:
    made = {c.check_key.name: c for c in monitoring_checks(store.project, MonitoringSettings(), TASK)}
    found = made[name](workspace=Workspace())
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.mark.parametrize("at", TIMES, ids=lambda at: f"{at:%Y}")
def test_a_prediction_of_a_wrong_clock_is_kept_and_told_and_no_day_has_it(
    store: ProjectStore, folder: Path, at: datetime
) -> None:
    lines = [prediction("odd", at=at), prediction("even", at=now()), feedback("f", "odd", at=at), feedback("g", "even")]
    (folder / f"{'0' * 8}-1-1.jsonl").write_bytes(written(lines))
    assert adopt(store, folder, now()).predictions == 2
    assert stale_days(store) == [f"{now():%Y-%m-%d}"]
    assert [row["day"] for row in live_accuracy(store, TASK, now()).to_pylist()] == [f"{now():%Y-%m-%d}"]
    count, said = undated(store, now())
    assert (count, "odd" in said, said in str(check(store, "every_line_readable").description)) == (1, True, True)
    assert not check(store, "every_line_readable").passed
    assert _last_day(store, TASK, "reviews-1")["predictions"] == 1


def test_predictions_of_their_days_are_told_as_fine(store: ProjectStore) -> None:
    log(store, [prediction("even", at=now()), prediction("first", at=datetime(2025, 1, 1, tzinfo=UTC))])
    assert undated(store, now())[0] == 0
    assert check(store, "every_line_readable").passed
    assert stale_days(store)[0] == FIRST_DAY


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_every_stale_day_is_a_partition(store: ProjectStore, hour: int) -> None:
    at = datetime(2026, 3, 10, hour, 59, tzinfo=UTC)
    log(store, [prediction(f"p{n}", at=each) for n, each in enumerate([*TIMES, at, at - timedelta(days=1)])])
    assert set(stale_days(store, at)) <= set(DAYS.get_partition_keys(current_time=at))
    assert len(stale_days(store, at)) == 2


def test_a_run_of_monitoring_goes_through_whatever_its_predictions_are_dated(store: ProjectStore, home: Path) -> None:
    log(store, [prediction(f"p{n}", at=at) for n, at in enumerate([*TIMES, now()])])
    made = monitoring_assets("reviews", MonitoringSettings(), Text(), TASK)
    definitions = dg.Definitions(assets=made, resources={"workspace": Workspace()}, executor=dg.in_process_executor)
    with dg.instance_for_test() as instance:
        runner = Runner("reviews", definitions, instance, {}, {"profiles": lambda: stale_days(store)})
        outcome = runner.run(["monitoring"])
    assert outcome.failed == {}
    assert "reviews/profiles" in outcome.materialized


def status(store: ProjectStore, model: str = "reviews-2") -> dict[str, Any]:
    return _last_day(store, TASK, model)


def test_the_last_day_is_24_hours_of_the_model_that_serves(store: ProjectStore) -> None:
    hours = {"now": 1, "nearly": 23.9, "over": 24.1, "yesterday": 40}
    made = [prediction(k, at=now() - timedelta(hours=h), model="reviews-2") for k, h in hours.items()]
    log(store, [*made, prediction("other", at=now() - timedelta(hours=1), model="reviews-1")])
    answers = {"now": "good", "nearly": "bad", "over": "bad", "yesterday": "bad", "other": "bad"}
    given = [feedback(f"f-{k}", k, label) | {"at": now()} for k, label in answers.items()]
    store.table("feedback").insert(rows("feedback", given))
    assert status(store) == {"predictions": 3, "answers": 2, "accuracy": 0.5, "drift": []}
    assert status(store, "reviews-1")["accuracy"] == 0.0
    assert status(store, "reviews-3")["accuracy"] is None


def test_drift_of_another_model_or_of_days_ago_is_no_drift_of_the_last_day(store: ProjectStore) -> None:
    today, before = f"{now():%Y-%m-%d}", f"{now() - timedelta(days=9):%Y-%m-%d}"
    found = [("1", "reviews-1", today), ("2", "reviews-2", before)]
    made = [{"id": i, "model": model, "day": day, "column": f"c{i}", "drifted": True} for i, model, day in found]
    store.table("drift").insert(rows("drift", made))
    assert status(store)["drift"] == []
    store.table("drift").insert(
        rows("drift", [{"id": "3", "model": "reviews-2", "day": today, "column": "c", "drifted": True}])
    )
    assert status(store)["drift"] == ["c"]
