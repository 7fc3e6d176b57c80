import pytest

from ml_assets.monitoring.live_accuracy import interval, live_accuracy
from ml_assets.records import rows
from ml_assets.store import ProjectStore
from ml_assets.tasks import SingleChoice

from .lines import AT, days_ago, feedback, log, prediction

TASK = SingleChoice(classes=("good", "bad"))


def give(store: ProjectStore, *answers: tuple[str, str, str, int]) -> None:
    """Answers as (id, prediction, label, days ago)."""
    made = [feedback(key, of, label) | {"at": days_ago(days)} for key, of, label, days in answers]
    store.table("feedback").insert(rows("feedback", made))


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


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    with pytest.raises(ValueError, match="at least one"):
        interval(0, 0)
