"""Great Expectations says what does not hold, and says it in sentences."""

from typing import Any

import pandas as pd
import pytest

from ml_assets.collection.expectations import failures

FRAME = pd.DataFrame({"id": ["a", "b", "c"], "length": [1.0, 5.0, 9.0], "split": ["train", "test", "train"], "ok": [True] * 3})
TWICE = FRAME.assign(id=["a", "b", "a"])
MISSING = FRAME.assign(id=["a", None, "c"])
CASES = [
    (FRAME.head(0), "ExpectTableRowCountToBeBetween", {"min_value": 1}),
    (MISSING, "ExpectColumnValuesToNotBeNull", {"column": "id"}),
    (TWICE, "ExpectColumnValuesToBeUnique", {"column": "id"}),
    (FRAME.assign(ok=[True, False, True]), "ExpectColumnValuesToBeInSet", {"column": "ok", "value_set": [True]}),
    (
        FRAME.assign(length=[1.0, 5.0, 99.0]),
        "ExpectColumnValuesToBeBetween",
        {"column": "length", "min_value": 1, "max_value": 9},
    ),
    (
        FRAME.assign(split=["train", "tset", "test"]),
        "ExpectColumnValuesToBeInSet",
        {"column": "split", "value_set": ["train", "test"]},
    ),
]


@pytest.mark.parametrize(("frame", "name", "arguments"), CASES, ids=[f"{name}-{a.get('column')}" for _, name, a in CASES])
def test_what_is_violated_is_said_and_nothing_else(frame: pd.DataFrame, name: str, arguments: dict[str, Any]) -> None:
    everything = [(name, arguments) for _, name, arguments in CASES]
    assert failures(FRAME, everything) == []
    [sentence] = failures(frame, everything)
    assert sentence.startswith(f"{name} {arguments}: ")
    assert "\n" not in sentence
    assert len(sentence) < 500


def test_the_wrong_values_are_shown() -> None:
    [sentence] = failures(FRAME.assign(split=["train", "tset", "tset"]), [CASES[5][1:]])
    assert "2 rows, such as ['tset', 'tset']" in sentence


def test_what_cannot_be_evaluated_has_failed() -> None:
    [sentence] = failures(FRAME.drop(columns="length"), [CASES[4][1:]])
    assert "length" in sentence


def test_a_hundred_thousand_rows_are_no_matter() -> None:
    frame = pd.DataFrame({"id": [str(i) for i in range(100_000)]})
    assert failures(frame, [CASES[2][1:]]) == []
    assert len(failures(pd.concat([frame, frame]), [CASES[2][1:]])[0]) < 500
