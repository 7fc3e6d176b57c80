"""Tags: how they are joined and scored."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from ml_assets.tasks import InvalidLabel, MultipleChoice
from ml_assets.tasks.answers.lists import as_value

CLASSES = ("a", "b", "c")
TASK = MultipleChoice(classes=CLASSES)
PICKED = st.lists(st.sampled_from(CLASSES), min_size=1)


@given(PICKED)
def test_the_order_of_a_list_does_not_matter(picked: list[str]) -> None:
    value = TASK.parse(picked)
    assert TASK.parse(picked[::-1]) == TASK.parse(value) == TASK.from_label_studio(TASK.to_label_studio(value)) == value
    assert TASK.answer(value) == sorted(set(picked))


def test_a_list_needs_one_class_that_there_is() -> None:
    with pytest.raises(InvalidLabel, match="at least one class is needed: choose among a, b, c"):
        TASK.parse([])
    with pytest.raises(InvalidLabel, match="unknown class 'd': choose among a, b, c"):
        TASK.parse(["a", "d"])


@pytest.mark.parametrize(
    ("answers", "joint", "agreement"),
    [
        (["ab", "bc", "ac"], "abc", (3 + 6 / 3) / 9),
        (["ab", "ab", "c"], "ab", (5 + 0) / 9),
        (["a", "ab"], None, 3 / 4),
        (["a", "b", "c"], None, 1 / 3),
        (["a", "b"], None, 1 / 2),
        (["abc"], "abc", 1.0),
    ],
)
def test_a_class_needs_more_than_half_of_the_voices(answers: list[str], joint: str | None, agreement: float) -> None:
    found = TASK.consensus([as_value([*answer]) for answer in answers])
    assert found.value == (None if joint is None else as_value([*joint]))
    assert found.agreement == pytest.approx(agreement)


def test_classes_that_become_one_stand_once_in_the_new_order() -> None:
    value = TASK.parse(["a", "b", "c"])
    assert TASK.relabel(value, {"c": "z", "a": "y", "b": "z"}) == '["z", "y"]'
    assert TASK.relabel(value, {"b": "z"}) == '["z"]'
    assert TASK.relabel(value, {}) is None


@given(st.lists(st.tuples(PICKED, PICKED), min_size=1, max_size=30))
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[list[str], list[str]]]) -> None:
    targets, predicted = ([TASK.parse(pair[side]) for pair in pairs] for side in (0, 1))
    a, b = (TASK.targets(values, CLASSES) for values in (targets, predicted))
    found = TASK.metrics(targets, predicted, CLASSES, 0)
    assert found["micro_f1"].value == pytest.approx(f1_score(a, b, average="micro"))
    seen = np.flatnonzero((a + b).any(0))
    assert found["macro_f1"].value == pytest.approx(f1_score(a[:, seen], b[:, seen], average="macro", zero_division=0))


def test_what_logits_say() -> None:
    logits = np.array([[2, -1, 3], [-3, -2, -1], [9, 9, 9]], np.float32)
    found = TASK.predicted(logits, CLASSES)
    assert found.labels == ['["a", "c"]', '["c"]', '["a", "b", "c"]'], "the likeliest class is in any case"
    chance = 1 / (1 + np.exp(-logits))
    assert found.scores == pytest.approx(chance)
    picked = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]], bool)
    assert found.confidence == pytest.approx(np.where(picked, chance, 1 - chance).prod(1)), "that of the whole answer"
    targets = torch.from_numpy(TASK.targets(['["a"]', '["c"]', '["a", "b", "c"]'], CLASSES))
    assert TASK.score(torch.from_numpy(logits), targets).tolist() == [0.5, 1, 1]
    right, wrong = (TASK.loss(torch.from_numpy(sign * logits), targets, 0.0) for sign in (1, -1))
    assert right < wrong
