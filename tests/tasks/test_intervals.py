"""Intervals of figures say how little a few samples tell."""

import pytest

from ml_assets.tasks import MultipleChoice, SingleChoice, Spans


@pytest.mark.parametrize(("n", "least"), [(1, 0.2065), (7, 0.6457), (20, 0.8389), (100, 0.9630)])
def test_all_right_of_a_few_samples_is_not_certain(n: int, least: float) -> None:
    """Wilson's lower bound (1927), as Newcombe 1998 has it in table I."""
    found = SingleChoice(classes=("a", "b")).metrics(["a", "b"] * n, ["a", "b"] * n, ("a", "b"))
    one = SingleChoice(classes=("a", "b")).metrics(["a"] * n, ["a"] * n, ("a", "b"))["accuracy"]
    assert (one.value, one.low, one.high) == (1, pytest.approx(least, abs=5e-5), 1)
    assert found["macro_f1"].low == pytest.approx(2 * n / (2 * n + 3.8415), abs=5e-5)
    none = SingleChoice(classes=("a", "b")).metrics(["a"] * n, ["b"] * n, ("a", "b"))["accuracy"]
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(1 - least, abs=5e-5))


def test_tags_and_spans_have_honest_ends_too() -> None:
    tags = MultipleChoice(classes=("a", "b"))
    assert tags.metrics(['["a"]'] * 7, ['["a"]'] * 7, ("a", "b"))["micro_f1"].low == pytest.approx(0.6457, abs=5e-5)
    spans = Spans(classes=("a",))
    value = spans.parse([{"start": 0, "end": 1, "label": "a"}])
    assert spans.metrics([value] * 7, [value] * 7, ("a",), items=["x y"] * 7)["entity_f1"].low < 0.65
