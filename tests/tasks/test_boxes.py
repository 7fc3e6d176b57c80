"""Boxes: places, joint answers, average precision."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.tasks import Boxes, InvalidLabel, SingleChoice
from ml_assets.tasks.metrics.average_precision import overlap

CLASSES = ("cat", "dog")
TASK = Boxes(classes=CLASSES)


def box(label: str, x: float, y: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "x": x, "y": y, "width": width, "height": height, **more}


SHARE = st.floats(-0.5, 1.5)
BOX = st.builds(box, st.sampled_from(CLASSES), SHARE, SHARE, st.floats(0.0, 1.5), st.floats(0.0, 1.5))
CAT, DOG = box("cat", 0.1, 0.1, 0.2, 0.2), box("dog", 0.6, 0.6, 0.3, 0.3)


def _visible(each: dict[str, Any]) -> bool:
    try:
        return TASK.parse([each]) != "[]"
    except InvalidLabel:
        return False


@given(st.lists(BOX, max_size=6), st.randoms())
def test_boxes_lie_within_the_picture_and_stay_as_they_are(answer: list[dict[str, Any]], random: Any) -> None:
    inside = [each for each in answer if _visible(each)]
    value = TASK.parse(inside)
    if len(inside) < len(answer):
        with pytest.raises(InvalidLabel, match=r"is empty within the picture|reaches far beyond the picture"):
            TASK.parse(answer)
    answer = inside
    random.shuffle(answer)
    assert TASK.parse(answer) == TASK.parse(value) == TASK.from_label_studio(TASK.to_label_studio(value)) == value
    for found in TASK.answer(value):
        assert 0 <= found["x"] < found["x"] + found["width"] <= 1 + 1e-9
        assert 0 <= found["y"] < found["y"] + found["height"] <= 1 + 1e-9


def test_what_lies_outside_is_cut_off() -> None:
    assert TASK.answer(TASK.parse([box("cat", -0.1, 0.5, 0.3, 0.9)])) == [box("cat", 0.0, 0.5, 0.2, 0.5)]
    for outside in (
        box("cat", 1.0, 0, 0.5, 1),
        box("cat", -0.5, 0, 0.5, 1),
        box("cat", 0.2, 0.2, 0, 0.1),
        box("cat", 0.2, 0.2, -0.1, 0.1),
    ):
        with pytest.raises(InvalidLabel, match="is empty within the picture: choose among cat, dog"):
            TASK.parse([outside])


@pytest.mark.parametrize(
    "counted",
    [box("cat", 0, 0, 20, 16), box("cat", 0, 0, 30, 30), box("cat", 12, 9, 20, 16), box("cat", 0.2, 0.2, 1.4, 0.1),
     box("cat", -1, 0, 1, 1), box("cat", 0, 0, 1, 5)],
)  # fmt: skip
def test_a_box_in_pixels_or_percent_does_not_become_the_whole_picture(counted: dict[str, Any]) -> None:
    with pytest.raises(InvalidLabel, match=r'shares of its width and height, from 0 to 1; of pixels .* "of": \[640, 480\]'):
        TASK.parse([counted])


def test_a_box_says_what_its_numbers_are_of() -> None:
    shares = TASK.parse([box("cat", 0.25, 0.5, 0.125, 0.5)])
    assert TASK.parse([box("cat", 160, 240, 80, 240, of=[640, 480])]) == shares
    assert TASK.parse([box("cat", 25, 50, 12.5, 50, of=[100, 100])]) == shares
    for size in ([0, 480], [640], "640x480", [640, None], [640, float("nan")], 640):
        with pytest.raises(InvalidLabel, match="is no size: `of` is the picture's width and height in the box's unit"):
            TASK.parse([box("cat", 1, 1, 2, 2, of=size)])
    with pytest.raises(InvalidLabel, match="reaches far beyond the picture"):
        TASK.parse([box("cat", 600, 400, 300, 400, of=[640, 480])])


def test_boxes_of_a_table_say_their_unit_once() -> None:
    given = box("cat", 8, 8, 16, 16)
    for answer in ([given], json.dumps([given])):
        assert TASK.parse(TASK.in_unit(answer, "pixels", (64, 32))) == TASK.parse([box("cat", 0.125, 0.25, 0.25, 0.5)])
    assert TASK.parse(TASK.in_unit([given], "percent", None)) == TASK.parse([box("cat", 0.08, 0.08, 0.16, 0.16)])
    assert TASK.parse(TASK.in_unit([given | {"of": [32, 32]}], "percent", None)) == TASK.parse(
        [box("cat", 0.25, 0.25, 0.5, 0.5)]
    )
    with pytest.raises(InvalidLabel, match="leave `label_unit` out"):
        SingleChoice(classes=("a", "b")).in_unit("a", "pixels", None)


@pytest.mark.parametrize("number", [None, "0.1", True, float("nan"), float("inf"), 10**400, [0.1]])
def test_places_are_finite_numbers(number: Any) -> None:
    with pytest.raises(InvalidLabel, match="four finite numbers"):
        TASK.parse([box("cat", number, 0, 1, 1)])
    with pytest.raises(InvalidLabel, match="a confidence is a number from 0 to 1"):
        TASK.parse([box("cat", 0, 0, 1, 1, confidence=number)])


def test_label_studio_counts_in_percent_and_boxes_stand_upright() -> None:
    [region] = TASK.to_label_studio(TASK.parse([box("dog", 0.25, 0.5, 0.125, 0.5, confidence=0.75)]))
    assert region["value"] == {"x": 25, "y": 50, "width": 12.5, "height": 50, "rotation": 0, "rectanglelabels": ["dog"]}
    assert region["score"] == 0.75
    for turned in ({"value": region["value"] | {"rotation": 5}}, {"image_rotation": 90}):
        with pytest.raises(InvalidLabel, match="turned"):
            TASK.from_label_studio([region | turned])


def joint(*given_answers: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    found = TASK.consensus([TASK.parse(answer) for answer in given_answers]).value
    return None if found is None else json.loads(found)


def test_an_object_needs_more_than_half_of_the_voices() -> None:
    near, nearer = CAT | {"x": 0.12}, CAT | {"width": 0.24}
    assert joint([CAT], [near], [nearer]) == [box("cat", 0.1, 0.1, 0.22, 0.2)], "the median of each edge"
    assert joint([CAT, DOG], [near], [nearer]) == [box("cat", 0.1, 0.1, 0.22, 0.2)]
    assert joint([CAT, DOG], [CAT]) is None, "half of the voices"
    assert joint([CAT], [CAT | {"label": "dog"}]) is None
    assert joint([CAT], [DOG], [box("dog", 0, 0.8, 0.1, 0.1)]) is None, "all see something, but nothing in common"
    assert joint([CAT], [], []) == []
    twice = [CAT, CAT | {"x": 0.11}]
    assert len(joint(twice, twice, [CAT]) or []) == 2, "nobody counts twice for one object"


def test_agreement_is_the_mean_f1_of_pairs() -> None:
    values = [TASK.parse(answer) for answer in ([CAT, DOG], [CAT | {"x": 0.12}])]
    assert TASK.consensus(values).agreement == pytest.approx((2 + 2 * (2 / 3)) / 4)


def scored(targets: list[list[dict[str, Any]]], predicted: list[list[dict[str, Any]]]) -> tuple[float, float]:
    found = TASK.metrics([TASK.parse(t) for t in targets], [TASK.parse(p) for p in predicted], CLASSES, 0)
    return found["map_50"].value, found["map_50_95"].value


def test_average_precision_by_hand() -> None:
    sure = [CAT | {"confidence": 0.9}]
    assert scored([[CAT]], [sure]) == (1, 1)
    assert scored([[CAT]], [[]]) == (0, 0)
    assert scored([[]], [[]]) == (1, 1)
    assert scored([[]], [sure]) == (0, 0)
    assert scored([[CAT]], [[DOG | {"confidence": 0.9}, *sure]]) == (1, 1), "classes without targets do not count"
    # a surer box beside the cat: precision is one half at every recall
    beside = box("cat", 0.7, 0.1, 0.2, 0.2, confidence=0.95)
    assert scored([[CAT]], [[beside, *sure]]) == pytest.approx((0.5, 0.5))
    assert scored([[CAT]], [[beside | {"confidence": 0.5}, *sure]]) == (1, 1), "less sure ones below the last hit cost nothing"
    # one of two cats: precision 1 up to a recall of one half, which is 51 of the 101 recalls
    other = box("cat", 0.6, 0.6, 0.2, 0.2)
    assert scored([[CAT, other]], [sure]) == pytest.approx((51 / 101, 51 / 101))
    assert scored([[CAT], [other]], [sure, []]) == pytest.approx((51 / 101, 51 / 101)), "over all pictures together"
    # the second box of one target is a miss, between two hits
    again = CAT | {"x": 0.11, "confidence": 0.8}
    both = [*sure, again, other | {"confidence": 0.7}]
    assert scored([[CAT, other]], [both]) == pytest.approx(((51 + 50 * 2 / 3) / 101,) * 2)
    # a shift by a ninth of the width: 8 / 10 of the union, so it hits at 0.5 to 0.8, seven of ten thresholds
    assert scored([[box("cat", 0.0, 0.0, 0.9, 0.9)]], [[box("cat", 0.1, 0.0, 0.9, 0.9)]]) == pytest.approx((1, 0.7))
    # classes have the same weight
    assert scored([[CAT, other, DOG]], [[*sure, other | {"confidence": 0.8}]]) == pytest.approx((0.5, 0.5))


def test_a_box_takes_the_target_that_it_overlaps_most() -> None:
    left, right = box("cat", 0.0, 0.0, 0.4, 0.4), box("cat", 0.1, 0.0, 0.4, 0.4)
    between = box("cat", 0.08, 0.0, 0.4, 0.4, confidence=0.9)
    later = box("cat", 0.01, 0.0, 0.4, 0.4, confidence=0.8)
    assert scored([[left, right]], [[between, later]])[0] == 1


@given(st.lists(st.tuples(SHARE, SHARE, st.floats(0.01, 1), st.floats(0.01, 1)), min_size=1, max_size=5))
def test_overlap_is_symmetric_and_whole_only_with_itself(places: list[tuple[float, float, float, float]]) -> None:
    boxes = [box("cat", *place) for place in places]
    found = overlap(boxes, boxes)
    assert (found >= 0).all()
    assert found.diagonal() == pytest.approx(1)
    assert found == pytest.approx(found.T)


def test_boxes_are_drawn_where_they_are_and_say_what_they_are() -> None:
    task = Boxes(classes=('<"x">', "b"))
    page = task.overlay("<img>", b"", task.parse([box('<"x">', 0.25, 0.5, 0.125, 0.5, confidence=0.756)]), 0)
    assert "left:25.000%;top:50.000%;width:12.500%;height:50.000%" in page
    assert 'title="&lt;&quot;x&quot;&gt; 0.76"' in page
    assert page.startswith('<div class="boxes" style="position:relative;display:inline-block;line-height:0"><img><span')
