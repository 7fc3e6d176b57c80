"""Ids and splits follow from content alone."""

from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_assets.state.digests import content_id
from ml_assets.store import records
from ml_assets.store.records import Record, split_of
from ml_assets.store.schemas import SCHEMAS, rows

TEXT = st.text()
PARTS = st.lists(TEXT | st.binary(), max_size=4)
SHARES = st.floats(0, 0.99)


def as_bytes(part: str | bytes) -> bytes:
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part


@given(PARTS, PARTS)
@example(["ab", "c"], ["a", "bc"])
@example(["ab"], ["ab", ""])
@example([], [""])
@example(["a\x00\x00\x00\x00\x00\x00\x00\x01b"], ["a", "b"])
@example(["\ud800"], [b"\xed\xa0\x80"])
def test_ids_are_equal_where_the_parts_are_and_only_there(one: list[str | bytes], other: list[str | bytes]) -> None:
    """Whatever stands where in one text cannot look like a boundary between two."""
    assert (content_id(*one) == content_id(*other)) == ([as_bytes(p) for p in one] == [as_bytes(p) for p in other])


@given(PARTS)
def test_an_id_is_32_hexadecimal_digits(parts: list[str | bytes]) -> None:
    made = content_id(*parts)
    assert len(made) == 32
    assert int(made, 16) >= 0
    assert made == content_id(*parts)


def test_ids_stay_what_they_are_for_ever() -> None:
    """Stored tables hold them: another way of hashing would collect every sample a second time."""
    assert content_id("text", "hello") == "b8d38fe3cb42386678132f8e898802db"
    assert [split_of(content_id("text", str(n))) for n in range(12)] == SPLITS


SPLITS = ["train"] * 4 + ["test"] + ["train"] * 7


@given(TEXT, TEXT, TEXT, SHARES)
def test_a_group_stays_together_and_nothing_else_counts(one: str, other: str, group: str, share: float) -> None:
    if group:
        assert split_of(one, group, share) == split_of(other, group, share)
    assert split_of(one, None, share) == split_of(one, "", share) == split_of(one, one, share)


@given(TEXT, SHARES, SHARES)
def test_a_larger_share_moves_samples_into_test_only(sample: str, one: float, other: float) -> None:
    if split_of(sample, None, min(one, other)) == "test":
        assert split_of(sample, None, max(one, other)) == "test"
    assert split_of(sample, None, 0.0) == "train"


@given(st.lists(TEXT, unique=True), st.lists(TEXT, unique=True))
def test_growth_never_moves_a_sample(first: list[str], more: list[str]) -> None:
    before = {sample: split_of(sample) for sample in first}
    after = {sample: split_of(sample) for sample in [*more, *first]}
    assert {sample: after[sample] for sample in first} == before


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_test_split_has_its_share(share: float, grouped: bool) -> None:
    n = 20_000
    ids = [content_id("sample", str(i)) for i in range(n)]
    test = sum(split_of(i, f"group {i}" if grouped else None, share) == "test" for i in ids)
    assert abs(test - n * share) < 4 * sqrt(n * share * (1 - share)), "four standard deviations of a binomial"


def test_splits_of_samples_do_not_follow_from_their_order() -> None:
    splits = [split_of(content_id("sample", str(i)), None, 0.5) for i in range(20_000)]
    repeats = sum(a == b for a, b in pairwise(splits))
    assert abs(repeats - 10_000) < 4 * sqrt(5_000)


def test_the_first_column_of_each_table_is_its_key_and_never_missing() -> None:
    for name, schema in SCHEMAS.items():
        assert schema.names[0] == "id", name
        assert [field.nullable for field in schema] == [False] + [True] * (len(schema) - 1)
        assert len(schema.names) == len(set(schema.names))


def test_rows_fill_what_is_not_said() -> None:
    table = rows("rejects", [{"id": "a", "reason": "empty"}])
    assert table.schema == SCHEMAS["rejects"]
    assert table.to_pylist() == [{"id": "a", "source": None, "origin": None, "reason": "empty", "excerpt": None, "at": None}]


def test_a_record_is_published_unless_it_says_otherwise() -> None:
    record = Record("text", "a.csv#1", label="x")
    assert (record.labeler_kind, record.split, record.group, record.columns) == ("published", None, None, None)


ROWS = {
    "samples": records.Sample,
    "rejects": records.Reject,
    "given_labels": records.GivenLabel,
    "annotations": records.Annotation,
    "labels": records.Label,
    "inference_log": records.Prediction,
    "feedback": records.Feedback,
}


@pytest.mark.parametrize("table", ROWS)
def test_a_typed_record_has_the_columns_of_its_table(table: str) -> None:
    assert set(ROWS[table].__annotations__) == set(SCHEMAS[table].names)
