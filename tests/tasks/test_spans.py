"""Spans: characters, overlaps, joint answers, and what a model finds of them."""

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ml_assets.tasks import InvalidLabel, Spans
from ml_assets.tasks.answers.lists import as_value
from ml_assets.texts.words import words

CLASSES = ("LOC", "PER")
TASK = Spans(classes=CLASSES)


@st.composite
def answers(draw: st.DrawFn, longest: int = 40) -> list[dict[str, Any]]:
    edges = sorted(draw(st.sets(st.integers(0, longest), max_size=10)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return [{"start": a, "end": b, "label": draw(st.sampled_from(CLASSES))} for a, b in pairs]


def spans(*triples: tuple[int, int, str]) -> str:
    return as_value([{"start": start, "end": end, "label": label} for start, end, label in triples])


@given(answers(), st.randoms())
def test_the_order_of_spans_does_not_matter(answer: list[dict[str, Any]], random: Any) -> None:
    value = TASK.parse(answer)
    random.shuffle(answer)
    assert TASK.parse(answer) == TASK.parse(value) == TASK.from_label_studio(TASK.to_label_studio(value)) == value
    assert sorted(TASK.answer(value), key=str) == sorted(answer, key=str)


@given(answers())
def test_a_span_that_overlaps_another_is_refused(answer: list[dict[str, Any]]) -> None:
    assume(answer)
    last = max(answer, key=lambda span: span["end"])
    with pytest.raises(InvalidLabel, match="overlap: choose among LOC, PER"):
        TASK.parse([*answer, {"start": last["end"] - 1, "end": last["end"] + 5, "label": "PER"}])


@pytest.mark.parametrize(
    ("start", "end"), [(3, 3), (4, 3), (-1, 2), (1.0, 2), (True, 2), ("1", 2), (None, None), (0, 10**10), (0, float("nan"))]
)
def test_places_are_whole_numbers_in_their_order(start: Any, end: Any) -> None:
    with pytest.raises(InvalidLabel, match="start and end must be whole numbers with 0 <= start < end"):
        TASK.parse([{"start": start, "end": end, "label": "PER"}])


def test_a_region_of_label_studio_has_one_class() -> None:
    region = {"from_name": "label", "to_name": "content", "type": "labels", "value": {"start": 0, "end": 4, "text": "Anna"}}
    for labels in (None, [], ["PER", "LOC"]):
        with pytest.raises(InvalidLabel, match="classes of a region where one is needed"):
            TASK.from_label_studio([region | {"value": {"start": 0, "end": 4, "labels": labels}}])
    assert TASK.from_label_studio([region | {"value": {"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}}]) == spans(
        (0, 4, "PER")
    )


@pytest.mark.parametrize(
    ("given_answers", "joint"),
    [
        ([spans((0, 4, "PER")), spans((0, 4, "PER")), spans((0, 5, "PER"))], spans((0, 4, "PER"))),
        (
            [spans((0, 4, "PER"), (6, 9, "LOC")), spans((0, 4, "PER")), spans((6, 9, "LOC"))],
            spans((0, 4, "PER"), (6, 9, "LOC")),
        ),
        ([spans((0, 4, "PER")), spans((0, 4, "LOC"))], None),
        ([spans((0, 4, "PER")), spans((0, 5, "PER")), spans((0, 6, "PER"))], None),
        ([spans((0, 4, "PER")), "[]", "[]"], "[]"),
        ([spans((0, 4, "PER")), "[]"], None),
        (["[]", "[]"], "[]"),
    ],
)
def test_a_span_needs_more_than_half_of_the_voices(given_answers: list[str], joint: str | None) -> None:
    assert TASK.consensus(given_answers).value == joint


def test_agreement_is_the_mean_f1_of_pairs() -> None:
    both, one = spans((0, 4, "PER"), (6, 9, "LOC")), spans((0, 4, "PER"))
    assert TASK.consensus([both, one]).agreement == pytest.approx((2 + 2 * (2 / 3)) / 4)
    assert TASK.consensus([one, "[]"]).agreement == pytest.approx(1 / 2)


def test_metrics_are_counted_over_tokens_and_entities() -> None:
    text = "Anna met Bo, in  New York today"
    target = spans((0, 4, "PER"), (9, 11, "PER"), (17, 25, "LOC"))
    guess = spans((0, 4, "PER"), (9, 12, "PER"), (17, 20, "LOC"))
    found = TASK.metrics([target], [guess], CLASSES, 0, [text])
    assert found["token_accuracy"].value == pytest.approx(6 / 8), "of the comma and of York the class is wrong"
    assert found["entity_f1"].value == pytest.approx(2 / 6), "only Anna has both edges right"
    nothing = TASK.metrics(["[]", "[]"], ["[]", "[]"], CLASSES, 0, ["so it is", "yes"])
    assert {metric.value for metric in nothing.values()} == {1.0}
    assert TASK.metrics(["[]"], [guess], CLASSES, 0, [text])["entity_f1"].value == 0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("I can't: 3.14 e\u0301te\u0301 👩‍👩‍👧", ["I", "can't", ":", "3.14", "e\u0301te\u0301", "👩‍👩‍👧"]),
        ("東京タワー、iPhone15を々", [*"東京タワー、", "iPhone15", *"を々"]),
        ("ที่ไป ๑๒", ["ที่", "ไ", "ป", "๑๒"]),
        ("서울에서 왔다", ["서울에서", "왔다"]),
        ("مرحبا بكم", ["مرحبا", "بكم"]),
        (" \n", []),
    ],
)
def test_tokens_are_words_or_letters_where_there_are_no_spaces(text: str, tokens: list[str]) -> None:
    assert [text[start:end] for start, end in words(text)] == tokens


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_all_that_is_seen_is_in_one_token(text: str) -> None:
    places = [place for start, end in words(text) for place in range(start, end)]
    assert places == sorted(set(places))
    assert all(character.isspace() for place, character in enumerate(text) if place not in set(places))


def test_a_wrong_class_within_a_sentence_without_spaces_counts_for_its_letters_only() -> None:
    text = "田中さんは東京へ行った"
    found = TASK.metrics([spans((0, 2, "PER"), (5, 7, "LOC"))], [spans((0, 2, "PER"))], CLASSES, 0, [text])
    assert found["token_accuracy"].value == pytest.approx(9 / 11)


def test_metrics_without_the_texts_are_an_error() -> None:
    with pytest.raises(ValueError, match="the metrics of spans need the text of each sample: there are 0 for 1 samples"):
        TASK.metrics(["[]"], ["[]"], CLASSES, 0)


def test_spans_of_a_class_without_a_new_name_are_left_out() -> None:
    value = spans((0, 4, "PER"), (6, 9, "LOC"))
    assert TASK.relabel(value, {"LOC": "place"}) == spans((6, 9, "place"))
    assert TASK.relabel(value, {}) == "[]"
    assert Spans(classes=CLASSES, empty=False).relabel(value, {}) is None


class Marks(HTMLParser):
    """The text of a page, and that within marks, without the small print."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.text, self.marked = "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "small" not in self.open:
            self.text += data
            self.marked += data if "mark" in self.open else ""


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=50), answers(), st.integers(1, 60))
def test_a_drawn_text_is_the_text(text: str, answer: list[dict[str, Any]], limit: int) -> None:
    page = Marks(TASK.overlay("", text, TASK.parse(answer), limit))
    assert page.open == []
    shown = page.text.removesuffix(" …") if len(text) > limit else page.text
    assert "".join(shown.split()) == "".join(text[:limit].split())
    marked = "".join(text[: min(limit, len(text))][span["start"] : span["end"]] for span in answer)
    assert "".join(page.marked.split()) == "".join(marked.split())


def test_characters_are_code_points() -> None:
    text = "e\u0301 😀👩‍👩‍👧 Anna"
    start = text.index("Anna")
    value = spans((start, start + 4, "PER"))
    assert "Anna <small>PER</small>" in TASK.overlay("", text, value, 100)
    assert json.loads(value)[0]["start"] == 10
