from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from spool.lines import AT

from ml_assets.monitoring.monitors import MONITORS, InputDrift, PredictionDrift
from ml_assets.monitoring.monitors.base import REST, hellinger_distance, hellinger_threshold, ks_threshold, pooled
from ml_assets.monitoring.profiles import Profile, profile, read
from ml_assets.monitoring.settings import MonitoringSettings

CLASSES = list("abcdef")


def rows_like(draw: np.random.Generator, n: int, sure: float = 8.0, classes: Sequence[str] = CLASSES) -> Profile:
    """A profile of `n` rows; the confidence is the larger, the larger `sure` is."""
    confidence = draw.beta(sure, 1.0, n)
    table = {
        "characters": draw.lognormal(7, 1, n).astype(int),
        "words": draw.lognormal(5, 1, n).astype(int),
        "script": draw.choice(["latin", "greek", "none"], n, p=[0.98, 0.01, 0.01]),
        "label": draw.choice(classes, n),
        "confidence": confidence,
        "entropy": 1 - confidence,
        "margin": confidence,
    }
    return read(profile(pa.table(table), AT))


@pytest.mark.parametrize("name", list(MONITORS))
def test_every_monitor(name: str) -> None:
    """The contract: it is built without options, is quiet where nothing has changed and warns where everything has."""
    monitor = MONITORS.parse(name)
    assert monitor.type == name
    draw = np.random.default_rng(1)
    reference = rows_like(draw, 1500)
    same = [monitor.measure(reference, rows_like(draw, 250)) for _ in range(40)]
    assert sum(any(f.drifted for f in found) for found in same) <= 3
    for finding in same[0]:
        assert 0 <= finding.score <= 1
        assert 0 < finding.threshold <= 1
        assert finding.drifted == (finding.score >= finding.threshold)
        assert finding.rows == 250
        assert finding.algorithm in ("ks", "hellinger")
    columns = {f.column for f in same[0]}
    assert len(columns) == len(same[0])

    other = pa.table(
        {c: ["quite", "other"] * 100 if c in ("script", "label") else [-1e6, -2e6] * 100 for c in reference.columns}
    )
    assert {f.column for f in monitor.measure(reference, read(profile(other, AT))) if f.drifted} == columns
    assert monitor.measure(reference, read(profile(pa.table({"unknown": [1.0]}), AT))) == []
    with pytest.raises(ValidationError, match="less_than"):
        type(monitor)(false_alarms=1)


def test_they_watch_different_columns() -> None:
    reference = rows_like(np.random.default_rng(0), 100)
    assert {f.column for f in InputDrift().measure(reference, reference)} == {"characters", "words", "script"}
    assert {f.column for f in PredictionDrift().measure(reference, reference)} == {"label", "confidence", "entropy"}


def test_half_of_the_traffic_unsure_warns() -> None:
    draw = np.random.default_rng(2)
    reference = rows_like(draw, 2000)
    for _ in range(10):
        table = np.concatenate([draw.beta(8, 1, 100), draw.beta(2, 1, 100)])
        traffic = read(profile(pa.table({"confidence": table}), AT))
        assert [f.drifted for f in PredictionDrift().measure(reference, traffic)] == [True]


def test_with_many_rows_a_negligible_difference_is_no_warning() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=40_000), draw.normal(0.05, 1, 40_000)  # a distance of 0.02: certain, and of no interest
    reference, traffic = (read(profile(pa.table({"x": x}), AT)) for x in (a, b))
    [finding] = InputDrift().measure(reference, traffic)
    assert not finding.drifted
    assert finding.threshold == 0.1
    [strict] = InputDrift(numbers=0.01).measure(reference, traffic)
    assert strict.drifted
    words = [pa.table({"x": draw.choice(["a", "b"], 40_000, p=[p, 1 - p])}) for p in (0.5, 0.52)]
    reference, traffic = (read(profile(table, AT)) for table in words)
    [finding] = InputDrift().measure(reference, traffic)
    assert (finding.drifted, finding.threshold) == (False, 0.1)
    [strict] = InputDrift(categories=0.001).measure(reference, traffic)
    assert strict.drifted


def test_a_column_that_changes_its_kind_has_drifted() -> None:
    numbers, words = pa.table({"x": [1.0, 2.0] * 50}), pa.table({"x": ["a", "b"] * 50})
    [finding] = InputDrift().measure(read(profile(numbers, AT)), read(profile(words, AT)))
    assert (finding.score, finding.drifted) == (1.0, True)


def test_a_category_with_one_value_never_drifts_by_itself() -> None:
    one = read(profile(pa.table({"x": ["latin"] * 50}), AT))
    [finding] = InputDrift().measure(one, one)
    assert (finding.score, finding.drifted) == (0.0, False)


def test_an_empty_column_is_not_compared() -> None:
    full = read(profile(pa.table({"x": [1.0, 2.0]}), AT))
    for kind in (pa.float64(), pa.string(), pa.null()):
        empty = read(profile(pa.table({"x": pa.array([None, None], kind)}), AT))
        assert InputDrift().measure(full, empty) == []
        assert InputDrift().measure(empty, full) == []


def test_rare_categories_are_compared_as_one() -> None:
    before, now = pooled({"a": 900, "b": 90, "c": 5, "d": 5}, {"a": 95, "b": 4, "e": 1})
    assert before == {"a": 900, "b": 90, REST: 10}
    assert now == {"a": 95, "b": 4, REST: 1}
    assert pooled({"a": 50, "b": 50}, {"a": 60, "b": 40}) == ({"a": 50, "b": 50}, {"a": 60, "b": 40})


def test_hellinger_distance_by_hand() -> None:
    assert hellinger_distance({"a": 1, "b": 1}, {"a": 10, "b": 10}) == pytest.approx(0)
    assert hellinger_distance({"a": 3}, {"b": 3}) == 1
    assert hellinger_distance({"a": 1, "b": 0}, {"a": 1, "b": 1}) == pytest.approx((1 - 0.5**0.5) ** 0.5)
    assert hellinger_distance({}, {"a": 1}) == 1


@pytest.mark.parametrize(("classes", "skew"), [(2, 0.0), (6, 0.0), (20, 0.7)])
def test_the_thresholds_keep_their_promise_of_false_alarms(classes: int, skew: float) -> None:
    """Of 4,000 pairs from one distribution, the share beyond the 5 % threshold is about 5 %."""
    draw = np.random.default_rng(classes)
    shares = np.exp(-skew * np.arange(classes))
    counts = [draw.multinomial(n, shares / shares.sum(), size=4000) for n in (2000, 200)]
    beyond = []
    for row, other in zip(*counts, strict=True):
        before, now = pooled(*({str(i): int(c) for i, c in enumerate(x) if c} for x in (row, other)))
        beyond.append(hellinger_distance(before, now) > hellinger_threshold(before, now, 0.05))
    assert 0.03 < np.mean(beyond) < 0.07

    from scipy.stats import ks_2samp

    limit = ks_threshold(2000, 200, 0.05)
    distances = [ks_2samp(draw.normal(size=2000), draw.normal(size=200), method="asymp").statistic for _ in range(500)]
    assert 0.02 < np.mean(np.asarray(distances) > limit) < 0.08


def test_settings() -> None:
    assert [m.type for m in MonitoringSettings().monitors] == ["input_drift", "prediction_drift"]
    read_from_yaml = MonitoringSettings.model_validate({"monitors": ["input_drift"], "uncertain": {"per_day": 5}})
    assert (read_from_yaml.monitors, read_from_yaml.uncertain.per_day) == ((InputDrift(),), 5)
    chosen = MonitoringSettings.model_validate({"monitors": [{"type": "prediction_drift", "numbers": 0.2}]})
    assert chosen.monitors == (PredictionDrift(numbers=0.2),)
    for wrong, said in (
        ({"monitors": ["weather"]}, "unknown monitor 'weather': choose one of input_drift, prediction_drift"),
        ({"monitors": ["input_drift", "input_drift"]}, "stands 2 times"),
        ({"schedule": "hourly"}, "is not cron text"),
        ({"window_days": 0}, "greater than or equal to 1"),
        ({"uncertain": {"below": 2}}, "less than or equal to 1"),
        ({"windows": 3}, "Extra inputs"),
    ):
        with pytest.raises(ValidationError, match=said):
            MonitoringSettings.model_validate(wrong)
