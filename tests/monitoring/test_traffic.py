import json
from datetime import UTC, datetime, timedelta

import pytest
from spool.lines import AT, days_ago, log, prediction

from ml_assets.modalities import Text
from ml_assets.monitoring.profiles import read
from ml_assets.monitoring.traffic import (
    NoReference,
    profile_day,
    profile_reference,
    reference_columns,
    stale_days,
    traffic_columns,
)
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

TEXT = Text()


def test_columns_of_traffic(store: ProjectStore) -> None:
    log(store, [prediction("p1", "Two words", confidence=0.75)])
    [row] = traffic_columns(store.table("inference_log").read(), TEXT).to_pylist()
    assert (row["characters"], row["words"], row["script"]) == (9, 2, "latin")
    assert (row["label"], row["confidence"], row["margin"]) == ("good", 0.75, 0.5)
    assert row["entropy"] == pytest.approx(0.5623, abs=1e-4)  # -0.75 ln 0.75 - 0.25 ln 0.25


def test_what_is_missing_is_null_and_no_zero() -> None:
    scores = [None, json.dumps({"good": 1.0, "bad": 0.0}), json.dumps({"good": 1.0})]
    made = reference_columns(["a", None, "abc"], ["good"] * 3, [1.0] * 3, scores, TEXT).to_pydict()
    assert made["characters"] == [1, None, 3]
    assert made["entropy"] == [None, 0, 0]
    assert made["margin"] == [None, 1, 1]
    assert reference_columns([], [], [], [], TEXT).num_rows == 0


def test_each_day_is_profiled_once_and_again_when_rows_come_late(store: ProjectStore) -> None:
    first, last = datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 3, 9, 23, 59, 59, 999999, tzinfo=UTC)
    log(store, [prediction("p1", at=first), prediction("p2", at=last), prediction("p3", at=last + timedelta(microseconds=1))])
    log(store, [prediction("p4", at=last, model="reviews-2")])
    assert stale_days(store) == ["2026-03-09", "2026-03-10"]
    assert profile_day(store, "2026-03-09", TEXT, AT) == 2
    assert stale_days(store) == ["2026-03-10"]
    kept = {r["id"]: r for r in store.table("profiles").read().to_pylist()}
    assert {key: r["rows"] for key, r in kept.items()} == {"2026-03-09/reviews-1": 2, "2026-03-09/reviews-2": 1}
    assert read(kept["2026-03-09/reviews-1"]["profile"]).categories("label") == {"good": 2}
    assert read(kept["2026-03-09/reviews-1"]["profile"]).view.dataset_timestamp == first

    assert profile_day(store, "2026-03-09", TEXT, AT) == 0, "nothing has changed"
    log(store, [prediction("p5", at=first)])
    assert stale_days(store) == ["2026-03-09", "2026-03-10"]
    assert profile_day(store, "2026-03-09", TEXT, AT) == 1
    assert profile_day(store, "2026-03-10", TEXT, AT) == 1
    assert stale_days(store) == []


def test_a_row_that_is_replaced_or_erased_is_noticed(store: ProjectStore) -> None:
    log(store, [prediction("p1"), prediction("p2"), prediction("p3", model="reviews-2")])
    profile_day(store, "2026-03-10", TEXT, AT)
    store.table("inference_log").delete("id = 'p2'")
    log(store, [prediction("p4")])
    assert stale_days(store) == ["2026-03-10"], "as many rows, but others"
    profile_day(store, "2026-03-10", TEXT, AT)
    store.table("inference_log").delete("id = 'p3'")
    assert profile_day(store, "2026-03-10", TEXT, AT) == 1
    assert store.table("profiles").ids() == {"2026-03-10/reviews-1"}
    store.table("inference_log").delete("id IN ('p1', 'p4')")
    assert stale_days(store) == ["2026-03-10"]
    assert profile_day(store, "2026-03-10", TEXT, AT) == 1
    assert store.table("profiles").count() == 0
    assert stale_days(store) == []


def test_more_rows_than_a_batch_make_one_profile(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_assets.monitoring.traffic.BATCH", 4)
    log(store, [prediction(f"p{i}", "x" * (i + 1)) for i in range(10)])
    profile_day(store, "2026-03-10", TEXT, AT)
    made = read(store.table("profiles").read()["profile"][0].as_py())
    assert (made.rows, made.range("characters")) == (10, (1, 10))


def test_the_reference_is_the_models_own_held_out_predictions(store: ProjectStore) -> None:
    with pytest.raises(NoReference, match="'reviews-1' has no predictions on held-out data"):
        profile_reference(store, "reviews-1", TEXT, AT)
    store.table("samples").insert(rows("samples", [{"id": "s1", "text": "four"}, {"id": "s2", "text": "seventy"}]))
    test = [
        {
            "id": f"{model}/{s}",
            "model": model,
            "sample_id": s,
            "target": "good",
            "label": label,
            "confidence": 0.8,
            "scores": None,
        }
        for model, s, label in (("reviews-1", "s1", "good"), ("reviews-1", "s2", "bad"), ("reviews-2", "s1", "bad"))
    ]
    store.table("test_predictions").insert(rows("test_predictions", test))
    assert profile_reference(store, "reviews-1", TEXT, AT)
    [row] = store.table("profiles").read().to_pylist()
    assert (row["id"], row["day"], row["rows"]) == ("reference/reviews-1", None, 2)
    assert read(row["profile"]).categories("label") == {"good": 1, "bad": 1}
    assert read(row["profile"]).range("characters") == (4, 7)
    assert not profile_reference(store, "reviews-1", TEXT, days_ago(-1)), "nothing has changed"
    assert stale_days(store) == [], "a reference is no day"
    store.table("test_predictions").upsert(rows("test_predictions", [test[0] | {"label": "bad"}]))
    assert profile_reference(store, "reviews-1", TEXT, AT)
