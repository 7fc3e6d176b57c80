from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from spool.lines import AT, days_ago

from ml_assets.monitoring.drift import measure, verdict
from ml_assets.monitoring.monitors import MONITORS, PredictionDrift
from ml_assets.monitoring.profiles import profile
from ml_assets.monitoring.traffic import NoReference
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows

DRAW = np.random.default_rng(0)
ALL = [MONITORS.parse(name) for name in MONITORS]


def keep(store: ProjectStore, key: str, day: str | None, n: int, sure: float, model: str = "reviews-1") -> None:
    columns = pa.table({"confidence": DRAW.beta(sure, 1, n), "characters": DRAW.normal(500, 100, n)})
    row = {"id": key, "day": day, "model": model, "rows": n, "rows_digest": "", "profile": profile(columns, AT), "at": AT}
    store.table("profiles").insert(rows("profiles", [row]))


@pytest.fixture
def profiled(store: ProjectStore) -> ProjectStore:
    """A reference, calm traffic eight days ago, and strange traffic yesterday and today; other models beside them."""
    keep(store, "reference/reviews-1", None, 1000, 9)
    for back, n, sure in ((8, 400, 9), (1, 80, 2), (0, 80, 2)):
        day = f"{days_ago(back):%Y-%m-%d}"
        keep(store, f"{day}/reviews-1", day, n, sure)
        keep(store, f"{day}/reviews-2", day, 1000, 9, "reviews-2")
    return store


def test_the_window_is_the_last_days_of_this_model(profiled: ProjectStore) -> None:
    rows = {w: measure(profiled, "reviews-1", ALL, w, 100, AT).to_pylist() for w in (1, 2, 7, 9)}
    assert {w: found[0]["rows"] for w, found in rows.items()} == {1: 80, 2: 160, 7: 160, 9: 560}
    assert {f["drifted"] for f in rows[1]} == {None}, "80 rows are below the minimum"
    assert {f["column"]: f["drifted"] for f in rows[2]} == {"characters": False, "confidence": True}
    confidence = next(f for f in rows[2] if f["column"] == "confidence")
    assert confidence["id"] == "2026-03-10/reviews-1/prediction_drift/confidence"
    assert (confidence["monitor"], confidence["day"], confidence["algorithm"]) == ("prediction_drift", "2026-03-10", "ks")


def test_measuring_again_is_the_same_row(profiled: ProjectStore) -> None:
    table = profiled.table("drift")
    assert table.upsert(measure(profiled, "reviews-1", ALL, 7, 100, AT), ignore=["at"]) == 2
    assert table.upsert(measure(profiled, "reviews-1", ALL, 7, 100, AT + timedelta(hours=3)), ignore=["at"]) == 0


def test_the_verdict_is_a_sentence(profiled: ProjectStore) -> None:
    drifted, said = verdict(measure(profiled, "reviews-1", ALL, 7, 100, AT), 100)
    assert drifted
    assert said.startswith("160 predictions differ from the held-out data in confidence (ks 0.")
    few = measure(profiled, "reviews-1", ALL, 7, 161, AT)
    assert verdict(few, 161) == (None, "too few: 160 of 161 predictions that a verdict needs")
    quiet = measure(profiled, "reviews-1", [PredictionDrift()], 1, 1, days_ago(8))
    assert verdict(quiet, 1) == (False, "400 predictions are like the held-out data in all 1 comparisons")
    none = measure(profiled, "reviews-1", ALL, 2, 1, days_ago(3))
    assert verdict(none, 1) == (None, "too few: 0 of 1 predictions that a verdict needs")


def test_without_a_reference_there_is_no_verdict(profiled: ProjectStore) -> None:
    with pytest.raises(NoReference, match="'reviews-2' has no reference profile"):
        measure(profiled, "reviews-2", ALL, 7, 100, AT)
