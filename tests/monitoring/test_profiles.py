import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spool.lines import AT

from ml_assets.monitoring.profiles import merge, profile, read, summary

TABLE = pa.table({"length": [1.0, 2.0, 3.0, 10.0, None], "script": ["latin", "latin", "greek", None, "latin"]})


def test_a_profile_tells_numbers_from_categories() -> None:
    made = read(profile(TABLE, AT))
    assert made.columns == ["length", "script"]
    assert made.rows == 5
    assert (made.is_number("length"), made.is_number("script")) == (True, False)
    assert (made.count("length"), made.count("script")) == (4, 4)
    assert made.categories("script") == {"latin": 3, "greek": 1}
    assert made.range("length") == (1.0, 10.0)
    with pytest.raises(KeyError, match="no column 'words': it has length, script"):
        made.count("words")


def test_whylogs_own_reader_reads_it() -> None:
    written = profile(TABLE, AT)
    from whylogs.core import DatasetProfileView

    view = DatasetProfileView.deserialize(written)
    assert view.dataset_timestamp == AT
    assert view.get_column("length").to_summary_dict()["distribution/mean"] == 4.0
    assert "whylogs.api.usage_stats" in sys.modules
    assert sys.modules["whylogs.api.usage_stats"]._TELEMETRY_DISABLED


def test_summary_has_a_row_per_column() -> None:
    length, script = summary(profile(TABLE, AT), top=1)
    assert (length["column"], length["count"], length["mean"], length["minimum"], length["maximum"]) == (
        "length",
        4,
        4.0,
        1,
        10,
    )
    assert length["median"] in (2.0, 3.0)
    assert script == {"column": "script", "count": 4, "top": {"latin": 3}}


def test_whole_numbers_flags_and_dictionaries() -> None:
    words = pa.array(["a", "b", "a"]).dictionary_encode()
    made = read(profile(pa.table({"n": [1, 2, 2], "word": words, "digit": ["1", "2", "2"]}), AT))
    assert made.is_number("n")
    assert made.categories("word") == {"a": 2, "b": 1}
    assert not made.is_number("digit"), "a class that is named by a number is still a class"


def test_shares_of_bins() -> None:
    made = read(profile(pa.table({"x": [0.0, 0.1, 0.5, 1.0]}), AT))
    assert made.shares("x", [0.0, 0.5, 1.0]).tolist() == [0.5, 0.5]


def test_a_range_may_leave_out_what_lies_far_off() -> None:
    made = read(profile(pa.table({"x": [*range(100), 10**9]}), AT))
    assert made.range("x") == (0, 10**9)
    low, high = made.range("x", 0.05)
    assert (low, high) == pytest.approx((5, 95), abs=1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_parts_merge_into_the_whole(sizes: list[int], random: "np.random.Generator") -> None:
    """Below the sketches' size (1,024 numbers, 700 categories) merging is exact, in any order."""
    draw = np.random.default_rng(sum(sizes))
    parts = [pa.table({"x": draw.normal(size=n), "word": draw.choice(list("abc"), n)}) for n in sizes if n] or [
        TABLE.select([])
    ]
    if not parts[0].num_columns:
        return
    whole = read(profile(pa.concat_tables(parts), AT))
    shuffled = [profile(part, AT) for part in parts]
    random.shuffle(shuffled)
    merged = read(merge(shuffled))
    edges = np.linspace(-5, 5, 21).tolist()
    assert merged.rows == whole.rows
    assert merged.categories("word") == whole.categories("word")
    assert merged.shares("x", edges) == pytest.approx(whole.shares("x", edges))


def test_merging_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        merge([])


def test_ks_distance_is_that_of_scipy() -> None:
    from scipy.stats import ks_2samp

    draw = np.random.default_rng(0)
    a, b = draw.normal(size=2000), draw.normal(0.4, 1.2, size=200)
    first, second = (read(profile(pa.table({"x": x}), AT)) for x in (a, b))
    assert second.ks_distance(first, "x") == pytest.approx(ks_2samp(a, b).statistic, abs=0.01)
    assert first.ks_distance(first, "x") == pytest.approx(0, abs=0.01)
    words = read(profile(pa.table({"x": ["a"]}), AT))
    assert words.ks_distance(first, "x") is None
