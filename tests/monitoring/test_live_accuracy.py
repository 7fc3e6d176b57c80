from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spool.lines import AT, days_ago, feedback, log, prediction

from ml_assets.monitoring.checks import monitoring_checks
from ml_assets.monitoring.live_accuracy import interval, live_accuracy, promised
from ml_assets.monitoring.settings import MonitoringSettings
from ml_assets.orchestration.resources import Workspace
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import SingleChoice, Spans

TASK = SingleChoice(classes=("good", "bad"))


def give(store: ProjectStore, *answers: tuple[str, str, str, int]) -> None:
    """Answers as (id, prediction, label, days ago)."""
    made = [feedback(key, of, label) | {"at": days_ago(days)} for key, of, label, days in answers]
    store.table("feedback").insert(rows("feedback", made))


def on_test_samples(store: ProjectStore, target: str, said: Sequence[str]) -> None:
    """What the model `reviews-1` said of test samples."""
    made = [
        {"id": f"reviews-1/{i}", "model": "reviews-1", "sample_id": str(i), "target": target, "label": label, "scores": "{}"}
        for i, label in enumerate(said)
    ]
    store.table("test_predictions").insert(rows("test_predictions", [row | {"confidence": 1.0} for row in made]))


def test_accuracy_by_day_and_model(store: ProjectStore) -> None:
    assert live_accuracy(store, TASK, AT).num_rows == 0
    log(store, [prediction(f"p{i}") for i in range(4)])
    log(store, [prediction("old", at=days_ago(3)), prediction("other", model="reviews-2"), prediction("silent")])
    give(store, ("f0", "p0", "good", 0), ("f1", "p1", "good", 0), ("f2", "p2", "good", 0), ("f3", "p3", "bad", 0))
    give(store, ("f4", "old", "bad", 0), ("f5", "other", "good", 0), ("f6", "no such prediction", "good", 0))
    found = {r["id"]: (r["correct"], r["feedback"], r["accuracy"]) for r in live_accuracy(store, TASK, AT).to_pylist()}
    assert found == {
        "2026-03-07/reviews-1": (0, 1, 0.0),
        "2026-03-10/reviews-1": (3, 4, 0.75),
        "2026-03-10/reviews-2": (1, 1, 1.0),
    }
    assert live_accuracy(store, TASK, AT).schema.names == store.table("live_accuracy").schema.names


def test_the_newest_answer_counts(store: ProjectStore) -> None:
    log(store, [prediction("p1")])
    give(store, ("f1", "p1", "bad", 1), ("f2", "p1", "good", 0), ("f3", "p1", "bad", 2))
    [row] = live_accuracy(store, TASK, AT).to_pylist()
    assert (row["feedback"], row["correct"]) == (1, 1)


def test_spans_count_each_for_itself(store: ProjectStore) -> None:
    task = Spans(classes=("A", "B"))
    first, second = ({"start": i, "end": i + 2, "label": "A"} for i in (0, 5))
    both, one, none = (task.parse(spans) for spans in ([first, second], [first], []))
    said = {"p1": both, "p2": both, "p3": none}
    log(store, [prediction(key, "a longer text") | {"label": label} for key, label in said.items()])
    give(store, ("f1", "p1", both, 0), ("f2", "p2", one, 0), ("f3", "p3", none, 0))
    [row] = live_accuracy(store, task, AT).to_pylist()
    assert (row["feedback"], row["correct"], row["accuracy"]) == (3, 2, pytest.approx((1 + 2 / 3 + 1) / 3))
    assert row["low"] < row["accuracy"] < row["high"]
    assert promised(store, task, "reviews-1") is None
    on_test_samples(store, both, [both, one, none])
    assert promised(store, task, "reviews-1") == interval([1, 2 / 3, 0])
    assert promised(store, task, "reviews-2") is None


@pytest.mark.parametrize(("right", "passed"), [(18, True), (15, True), (6, False)])
def test_the_check_warns_when_people_are_clearly_less_content_than_promised(
    store: ProjectStore, right: int, passed: bool
) -> None:
    [check] = (
        c for c in monitoring_checks("reviews", MonitoringSettings(), TASK) if c.check_key.name == "as_good_as_evaluated"
    )
    few = "too few: 0 of 20 answers to predictions of one day, by which to compare"
    assert (check(workspace=Workspace()).passed, check(workspace=Workspace()).description) == (False, few)
    live = {"id": "reviews-d1", "model": "reviews-1", "bento": "b", "state": "live", "requested_at": AT, "live_at": AT}
    store.table("deployments").insert(rows("deployments", [live]))
    on_test_samples(store, "good", ["good"] * 90 + ["bad"] * 10)
    log(store, [prediction(f"p{i}") for i in range(20)])
    give(store, *((f"f{i}", f"p{i}", "good" if i < right else "bad", 0) for i in range(20)))
    assert check(workspace=Workspace()).description == few
    store.table("live_accuracy").insert(live_accuracy(store, TASK, AT))
    said = check(workspace=Workspace())
    assert said.passed == passed
    assert said.description == f"{right / 20:.3f} on 2026-03-10 (20 answers), promised from 0.826 on"


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (20, 20, 0.8389, 1)],
)
def test_the_interval_is_wilsons(right: int, of: int, low: float, high: float) -> None:
    # Newcombe 1998, table I
    assert interval([1.0] * right + [0.0] * (of - right)) == pytest.approx((low, high), abs=5e-5)


def test_there_is_no_interval_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        interval([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_mean_lies_within_its_interval(alike: list[float]) -> None:
    low, high = interval(alike)
    assert 0 <= low <= sum(alike) / len(alike) + 1e-9
    assert sum(alike) / len(alike) - 1e-9 <= high <= 1


@pytest.mark.parametrize("share", [0.0, 1.0, 1 / 3])
def test_the_interval_holds_its_mean_so_that_charts_can_draw_it(share: float) -> None:
    for count in range(1, 301):
        right = round(count * share)
        low, high = interval([1.0] * right + [0.0] * (count - right))
        assert low <= right / count <= high
