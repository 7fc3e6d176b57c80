"""Positions in a text as it was given, and in the sample that was made of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.modalities import Text
from ml_assets.tasks import InvalidLabel, Spans
from ml_assets.texts.offsets import Offsets

TASK = Spans(classes=("CITY",))
TEXTS = st.text(st.sampled_from(" \t\r\nab\u2003é😀"), min_size=1, max_size=30).filter(lambda text: text.strip())


def span(start: int, end: int) -> str:
    return TASK.parse([{"start": start, "end": end, "label": "CITY"}])


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXTS)
def test_each_character_of_the_sample_is_found_again_in_what_was_given(text: str) -> None:
    item, offsets = Text().decode(text), Text().offsets(text)
    for at, character in enumerate(item):
        assert plain(text[offsets.to_given(at)]) == character
        assert offsets.to_item(offsets.to_given(at)) == at
    assert Offsets.from_json(offsets.to_json()) == offsets or offsets.unchanged
    assert offsets.unchanged == (len(item) == len(text))


@given(TEXTS, st.data())
def test_a_span_of_what_was_given_marks_the_same_characters_in_the_sample(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    item, offsets = Text().decode(text), Text().offsets(text)
    try:
        [found] = json.loads(TASK.placed(span(start, end), item, offsets))
    except InvalidLabel:
        assert not text[start:end].strip() or text[start:end].replace("\r", "") == ""
        return
    marked = item[found["start"] : found["end"]]
    assert marked.strip() == plain(text[start:end]).strip()
    [back] = json.loads(TASK.placed_back(TASK.placed(span(start, end), item, offsets), offsets))
    assert start <= back["start"] < back["end"] <= end
    assert plain(text[back["start"] : back["end"]]).strip() == marked.strip()


@pytest.mark.parametrize(
    ("text", "place"),
    [("   Please send it to Lima, note 7", (21, 25)), ("Dear all,\r\nsend it to Lima.", (22, 26)), ("to Lima", (3, 7))],
)
def test_a_city_stays_a_city(text: str, place: tuple[int, int]) -> None:
    assert text[slice(*place)] == "Lima"
    item, offsets = Text().decode(text), Text().offsets(text)
    moved = TASK.placed(span(*place), item, offsets)
    [found] = json.loads(moved)
    assert item[found["start"] : found["end"]] == "Lima"
    assert TASK.placed_back(moved, offsets) == span(*place)


@pytest.mark.parametrize(("start", "end"), [(2, 400), (50, 60), (0, 14)])
def test_a_span_beyond_the_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidLabel, match="ends behind the text"):
        TASK.placed(span(start, end), "Send to Lima.", Offsets())


def test_a_span_of_what_is_stripped_is_refused() -> None:
    with pytest.raises(InvalidLabel, match="nothing but space"):
        TASK.placed(span(0, 3), "Lima", Text().offsets("   Lima"))
