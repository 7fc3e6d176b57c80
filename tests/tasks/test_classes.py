"""Which class an answer means, however it is typed or written, and how Label Studio's editor is kept from changing it."""

import unicodedata
from typing import Any

import pytest
from pydantic import ValidationError

from ml_assets.tasks import TASKS, Boxes, InvalidLabel, MultipleChoice, SingleChoice, Spans
from ml_assets.tasks.answers.classes import class_of

DIGITS = ("0", "1")


@pytest.mark.parametrize(
    ("answer", "means"),
    [(0, "0"), (1.0, "1"), (True, "1"), (False, "0"), ("1.0", "1"), (" 1 ", "1"), ("1", "1")]
    + [(answer, None) for answer in (2, 0.5, "1.5", float("nan"), float("inf"), "01", "", None, [1], {}, b"1", 10**400)],
)
def test_a_number_means_the_class_that_is_written_like_it(answer: Any, means: str | None) -> None:
    assert class_of(answer, DIGITS) == means
    task = SingleChoice(classes=DIGITS)
    if means is None:
        with pytest.raises(InvalidLabel, match="choose one of 0, 1"):
            task.parse(answer)
    else:
        assert task.parse(answer) == means
        assert MultipleChoice(classes=DIGITS).parse([answer]) == f'["{means}"]'


def test_truth_values_mean_the_classes_of_their_names() -> None:
    assert [class_of(answer, ("true", "false")) for answer in (True, False, "true")] == ["true", "false", "true"]
    assert class_of(True, ("True", "False")) == "True"
    assert class_of(1, ("true", "false")) is None


def test_fractions_are_classes_as_they_are_written() -> None:
    assert [class_of(answer, ("1.0", "1.5")) for answer in (1, 1.0, 1.5, "1.5")] == ["1.0", "1.0", "1.5", "1.5"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_and_space_around_make_no_other_class(form: Any) -> None:
    typed = unicodedata.normalize(form, "café")
    classes = (typed, "billing ")
    for other in ("NFC", "NFD"):
        assert class_of(f" {unicodedata.normalize(other, 'café')}\n", classes) == typed
    assert class_of("billing", classes) == "billing "
    with pytest.raises(ValidationError, match="stands twice"):
        SingleChoice(classes=(unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")))


def test_classes_may_be_numbers_in_the_yaml_but_not_what_yaml_takes_for_truth_values() -> None:
    for name in TASKS:
        assert TASKS.parse({"type": name, "classes": [0, 1.5]}).classes == ("0", "1.5")
        with pytest.raises(ValidationError, match="put the classes into quotes"):
            TASKS.parse({"type": name, "classes": [True, False]})


DOLLARS = ("$5", "$content", "$$", "5 $", "US$ a")


@pytest.mark.parametrize(
    "task",
    [SingleChoice(classes=DOLLARS), MultipleChoice(classes=DOLLARS), Spans(classes=DOLLARS), Boxes(classes=DOLLARS)],
    ids=lambda task: task.type,
)
def test_label_studio_finds_no_variable_in_a_class_and_gives_the_class_back(task: Any) -> None:
    box = {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}
    for name in DOLLARS:
        value = {
            "single_choice": name,
            "multiple_choice": [name],
            "spans": [{"start": 0, "end": 2, "label": name}],
            "boxes": [box | {"label": name}],
        }[task.type]
        written = task.to_label_studio(task.parse(value))
        assert "$5" not in str(written)
        assert "$content" not in str(written)
        assert task.answer(task.from_label_studio(written)) == value
    config = task.label_config('<Text name="content" value="$content"/>', "Which?")
    assert "$5" not in config
    assert config.count("$content") == 1
