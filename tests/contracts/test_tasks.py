"""What every label task does with answers."""

import json
import random
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, f1_score

from ml_assets.modalities import MODALITIES
from ml_assets.tasks import TASKS, ClassificationTask, InvalidLabel, SingleChoice, SingleLabelTask, Task
from ml_assets.tasks.answers.label_studio import from_editor

from .plugins import options

EACH = pytest.mark.parametrize("name", list(TASKS))
CLASSES = ("one", "two", "three")
TEXT = "the first and the second 😀 met a third one"
VALUES: dict[str, list[str]] = {
    "multiple_choice": ['["one"]', '["two"]', '["one", "three"]', '["one", "two", "three"]'],
    "spans": [
        '[{"start": 4, "end": 9, "label": "one"}]',
        '[{"start": 4, "end": 9, "label": "two"}]',
        '[{"start": 4, "end": 9, "label": "one"}, {"start": 14, "end": 26, "label": "three"}]',
        '[{"start": 0, "end": 24, "label": "one"}, {"start": 29, "end": 30, "label": "two"}]',
        "[]",
    ],
    "boxes": [
        '[{"label": "one", "x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}]',
        '[{"label": "one", "x": 0.12, "y": 0.1, "width": 0.21, "height": 0.19}]',
        '[{"label": "one", "x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}, '
        '{"label": "two", "x": 0.5, "y": 0.5, "width": 0.5, "height": 0.12345}]',
        '[{"label": "three", "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0, "confidence": 0.25}]',
        "[]",
    ],
}
"""Some values of a task with the classes one, two and three, beside its own examples."""


def of(name: str) -> Task:
    return TASKS.parse(options(TASKS[name]))


def values(name: str) -> list[str]:
    found = list(dict.fromkeys([*VALUES.get(name, ()), *of(name).examples()]))
    assert len(found) >= 3, f"{name} has no examples"
    return found


@EACH
def test_the_label_config_is_xml_around_the_content(name: str) -> None:
    for modality in MODALITIES.classes.values():
        tag = MODALITIES.parse(options(modality)).label_studio_object()
        question = "Is it \"<big>\" & 'bad'?"
        config = ElementTree.fromstring(of(name).label_config(tag, question))
        assert config.tag == "View"
        names = [element.get("name") for element in config.iter() if element.get("name")]
        assert len(names) == len(set(names)), "Label Studio finds controls by their names"
        assert "content" in names
        assert {element.get("toName") for element in config.iter() if element.get("toName")} == {"content"}
        assert question in {element.get("value") for element in config.iter()}


@EACH
def test_label_studio_keeps_a_value_as_it_is(name: str) -> None:
    task = of(name)
    for value in values(name):
        result = task.to_label_studio(value)
        assert task.from_label_studio(result) == value
        assert task.parse(value) == value
        controls = {
            element.get("name"): element
            for element in ElementTree.fromstring(task.label_config("<Text name='content'/>", "?")).iter()
        }
        for region in result:
            assert controls[region["from_name"]].get("toName") == region["to_name"] == "content"
            assert region["type"] == controls[region["from_name"]].tag.lower()


@EACH
def test_an_answer_that_the_task_does_not_allow_is_one_sentence_with_the_choices(name: str) -> None:
    task = of(name)
    nonsense = ("nonsense", "ONE", "", None, 5, True, {"one": 1}, "x" * 10_000, "a\nb", ["one", 1], ["four"], [["one"]], [{}])
    for answer in (
        *nonsense,
        "[" * 10_000,
        "NaN",
        ["one"] * 1001,
        [{"label": "one"}],
        [{"start": 1, "end": 2, "label": "four"}],
    ):
        with pytest.raises(InvalidLabel) as caught:
            task.parse(answer)
        sentence = str(caught.value)
        assert all(choice in sentence for choice in CLASSES)
        assert len(sentence.splitlines()) == 1
        assert len(sentence) < 300
    nothing: list[list[dict[str, Any]]] = [[], [{}], [{"from_name": "other", "value": {}}]]
    broken: list[list[dict[str, Any]]] = [
        [{"from_name": "label"}],
        [{"from_name": "label", "value": None}],
        [{"from_name": "label", "value": {}}],
        [{"from_name": "label", "value": {"choices": None, "labels": 5, "rectanglelabels": "one"}}],
    ]
    if task.may_be_empty:
        assert {task.from_label_studio(result) for result in nothing} == {"[]"}
        task, allowed = TASKS.parse(options(TASKS[name]) | {"empty": False}), task
        assert allowed.parse([]) == "[]"
        with pytest.raises(InvalidLabel, match="at least one"):
            task.parse([])
    for result in [*nothing, *broken]:
        with pytest.raises(InvalidLabel):
            task.from_label_studio(result)


NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@EACH
@given(answer=NONSENSE)
def test_any_nonsense_is_refused_in_one_sentence(name: str, answer: Any) -> None:
    if of(name).may_be_empty and (answer == [] or (isinstance(answer, str) and answer.split() == ["[]"])):
        return
    with pytest.raises(InvalidLabel) as caught:
        of(name).parse(answer)
    assert len(str(caught.value)) < 300
    assert len(str(caught.value).splitlines()) == 1


@EACH
def test_an_application_gets_what_it_could_send(name: str) -> None:
    task = of(name)
    for value in values(name):
        assert task.parse(task.answer(value)) == value
        assert json.loads(json.dumps(task.answer(value))) == task.answer(value)


@EACH
def test_classes_are_found_renamed_and_left_out(name: str) -> None:
    task, new = of(name), TASKS.parse(options(TASKS[name]) | {"classes": ["1", "2", "3"]})
    names = dict(zip(CLASSES, "123", strict=True))
    for value in values(name):
        found = task.classes_in(value)
        assert found == tuple(sorted(set(found), key=CLASSES.index))
        assert all(name in value for name in found)
        assert task.relabel(value, {name: name for name in CLASSES}) == value
        mapped = task.relabel(value, names)
        assert mapped is not None
        assert new.parse(mapped) == mapped
        assert new.classes_in(mapped) == tuple(names[name] for name in found)
        less = task.relabel(value, {name: name for name in CLASSES if name not in found})
        assert less == ("[]" if task.may_be_empty else None)


@EACH
@given(data=st.data())
def test_the_consensus_does_not_depend_on_the_order(name: str, data: Any) -> None:
    task, answers = of(name), data.draw(st.lists(st.sampled_from(values(name)), min_size=1, max_size=7))
    found = task.consensus(answers)
    assert 0 < found.agreement <= 1
    if found.value is not None:
        assert task.parse(found.value) == found.value
        assert not isinstance(task, SingleLabelTask) or found.value in answers, "a class that nobody named is no joint answer"
    for _ in range(3):
        random.Random(len(answers)).shuffle(answers)
        assert task.consensus(answers) == found
    assert task.consensus([*answers, *answers]) == found, "twice as many of the same opinion say the same"
    if len(set(answers)) == 1:
        assert (found.value, found.agreement) == (answers[0], 1)


@EACH
def test_a_value_is_most_similar_to_itself_and_to_others_as_much_as_they_to_it(name: str) -> None:
    task = of(name)
    for first in values(name):
        assert task.similarity(first, first) == 1
        for second in values(name):
            assert 0 <= task.similarity(first, second) == task.similarity(second, first) <= 1
            assert task.classes_in(first) == task.classes_in(second) or task.similarity(first, second) < 1


@pytest.mark.slow
@EACH
@given(data=st.data(), seed=st.integers(0, 3))
def test_metrics_are_shares_within_their_intervals(name: str, data: Any, seed: int) -> None:
    task, generator = of(name), random.Random(data.draw(st.integers(0, 10**6)))
    targets = generator.choices(values(name), k=60)
    predicted = [t if generator.random() < 0.7 else generator.choice(values(name)) for t in targets]
    found = task.metrics(targets, predicted, CLASSES, seed, [TEXT] * 60)
    assert tuple(found) == task.metric_names
    assert task.primary_metric in found
    for metric in found.values():
        assert 0 <= metric.low <= metric.value <= metric.high <= 1
        assert metric.low < metric.high
    assert task.metrics(targets, predicted, CLASSES, seed, [TEXT] * 60) == found, "the same seed draws the same samples"
    perfect = task.metrics(targets, targets, CLASSES, seed, [TEXT] * 60)
    assert {(m.value, m.high) for m in perfect.values()} == {(1, 1)}
    assert all(0.9 < metric.low < 1 for metric in perfect.values()), "60 right samples are no certainty"


@pytest.mark.slow
@EACH
@given(data=st.data())
def test_the_difference_of_two_models_is_that_of_their_primary_metrics(name: str, data: Any) -> None:
    task, generator = of(name), random.Random(data.draw(st.integers(0, 10**6)))
    targets = generator.choices(values(name), k=60)
    first, second = ([t if generator.random() < p else generator.choice(values(name)) for t in targets] for p in (0.9, 0.5))
    scores = [task.metrics(targets, guesses, CLASSES, 0, [TEXT] * 60)[task.primary_metric].value for guesses in (first, second)]
    found, back = (
        task.difference(targets, first, second, CLASSES, 0, [TEXT] * 60),
        task.difference(targets, second, first, CLASSES, 0, [TEXT] * 60),
    )
    assert found.value == pytest.approx(scores[0] - scores[1])
    assert found.low <= found.value <= found.high
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    same = task.difference(targets, first, first, CLASSES, 0, [TEXT] * 60)
    assert (same.value, same.low, same.high) == (0, 0, 0), "samples are drawn for both together"


@pytest.mark.parametrize("name", [name for name, cls in TASKS.classes.items() if issubclass(cls, ClassificationTask)])
def test_logits_with_the_least_loss_say_what_is_right(name: str) -> None:
    task = of(name)
    targets = torch.from_numpy(task.targets(values(name), CLASSES))
    logits = torch.zeros(len(targets), len(CLASSES), requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        task.loss(logits, targets, 0.05).backward()
        optimizer.step()
    found = task.predicted(logits.detach().numpy(), CLASSES)
    assert found.labels == values(name)
    assert (task.score(logits.detach(), targets) == 1).all()
    assert (found.scores.shape, found.scores.dtype) == ((len(targets), len(CLASSES)), np.float32)
    assert (found.confidence.shape, found.confidence.dtype) == ((len(targets),), np.float32)
    assert ((found.confidence > 0.5) & (found.confidence <= 1)).all()
    turned = task.predicted(-logits.detach().numpy(), CLASSES)
    assert [task.parse(label) for label in turned.labels] == turned.labels
    assert (task.score(-logits.detach(), targets) < 1).any()


# ---- single choice ----


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_metrics_of_single_choice_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    targets, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    found = SingleChoice(classes=("a", "b")).metrics(targets, predicted, "dcba", 0)
    assert found["accuracy"].value == pytest.approx(accuracy_score(targets, predicted))
    assert found["macro_f1"].value == pytest.approx(f1_score(targets, predicted, average="macro"))


def test_the_interval_of_the_accuracy_is_that_of_a_binomial() -> None:
    n, share = 2000, 0.8
    targets = ["a"] * n
    predicted = ["a"] * 1600 + ["b"] * 400
    found = SingleChoice(classes=("a", "b")).metrics(targets, predicted, "ab", 0)["accuracy"]
    deviation = float(np.sqrt(share * (1 - share) / n))
    assert (found.low, found.high) == pytest.approx((share - 1.96 * deviation, share + 1.96 * deviation), abs=0.25 * deviation)


@pytest.mark.slow
def test_many_classes_and_samples_take_seconds_and_little_memory() -> None:
    classes = tuple(f"class {i}" for i in range(400))
    targets = [classes[i % 400] for i in range(8000)]
    predicted = [classes[i * i % 400] for i in range(8000)]
    began = time.process_time()
    found = SingleChoice(classes=classes).metrics(targets, predicted, classes, 0)
    assert found["accuracy"].value == pytest.approx(accuracy_score(targets, predicted))
    assert time.process_time() - began < 20


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(st.lists(NAMES, min_size=2, max_size=12, unique=True))
def test_class_names_survive_the_label_config_or_are_refused(names: list[str]) -> None:
    try:
        task = SingleChoice(classes=tuple(names))
    except ValidationError:
        return
    config = ElementTree.fromstring(task.label_config('<Text name="content" value="$content"/>', "?"))
    choices = config.findall("./Choices/Choice")
    assert [from_editor(choice.get("value")) for choice in choices] == names
    assert [choice.get("hotkey") for choice in choices] == [str(i) if i < 10 else None for i in range(1, len(names) + 1)]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["a", "a"], "the class 'a' stands twice in classes"),
        (["a", " "], "a class needs a name"),
        (["a", "b\x07"], r"the class 'b\\x07' holds a character that no label config can hold"),
        (["a"], "at least 2 items"),
    ],
)
def test_classes_that_cannot_be(classes: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SingleChoice(classes=tuple(classes))


def test_exactly_one_choice_is_read() -> None:
    task = SingleChoice(classes=CLASSES)
    with pytest.raises(InvalidLabel, match="2 choices where exactly one is needed"):
        task.from_label_studio([{"from_name": "label", "value": {"choices": ["one", "two"]}}])
    with pytest.raises(InvalidLabel, match="unknown class 'four': choose one of one, two, three"):
        task.from_label_studio([{"from_name": "label", "value": {"choices": ["four"]}}])
    both = [{"from_name": "comment", "value": {"text": ["?"]}}, *task.to_label_studio("two")]
    assert task.from_label_studio(both) == "two"
