"""What every modality does with content."""

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.modalities import MODALITIES, PARTS, Modality, Text, Undecodable

from .media import SCRIPT, drawn, pictures, recorded, saved, sounds, tone
from .plugins import options


def of(name: str) -> Modality:
    registry = PARTS if name in PARTS.classes else MODALITIES
    return registry.parse(options(registry[name]))


def mixed(number: int, picture: str | bytes) -> str:
    """All parts, with a script in one of them."""
    assert isinstance(picture, bytes)
    photo = base64.b64encode(picture).decode()
    when = f"2026-0{number + 1}-01T0{number}:30:00+02:00"
    return json.dumps({"body": f"{SCRIPT} {number}", "photo": photo, "price": 10**number, "kind": f"<b>{number}", "sold": when})


GOOD: dict[str, list[str | bytes]] = {
    "text": [
        "fine",
        "Привет, мир",
        "😀" * 5000,
        '<b>bold</b> & "quoted"',
        b"\xef\xbb\xbfmark",
        "a\r\nb\rc",
        "x " * 3000,
        "12 3!",
    ],
    "image": pictures(),
    "audio": sounds(),
    "mixed": [mixed(i, picture) for i, picture in enumerate(pictures()[:6])],
}
BAD: dict[str, list[str | bytes]] = {
    "text": [" \n\t "],
    "image": [
        "a picture",
        b"\x89PNG\r\n\x1a\n",
        b"<svg/>",
        saved(drawn("circle"), "TIFF"),
        recorded(tone(300, 0.1, 8_000), 8_000),
    ],
    "audio": [
        "a sound",
        b"RIFF\0\0\0\0WAVE",
        b"fLaC",
        recorded(tone(300, 0.1, 8_000), 8_000, "AIFF"),
        saved(drawn("circle")),
    ],
    "mixed": [
        "",
        b"\xff",
        "a text",
        "[1]",
        "{}",
        '{"body": " ", "price": null}',
        '{"colour": "red"}',
        '{"price": "much"}',
        '{"price": NaN}',
        '{"price": true}',
        '{"price": 1e300}',
        '{"sold": "yesterday"}',
        '{"kind": 1.5}',
        '{"body": 5}',
        '{"photo": "no base64"}',
        '{"photo": "AAAA"}',
        "[" * 100_000,
    ],
    "number": ["much", "NaN", "1e300", "inf", "True", b"1,5"],
    "category": [" ", "x" * 201],
    "time": ["yesterday", "12:30", "2026-02-30", "0001-01-01T00:00:00+14:00"],
}
NOTHING: tuple[str | bytes, ...] = ("", b"", b"\xff\xfe", "zero\x00", "\ud800", b"\xed\xa0\x80")
"""What no modality takes."""
DANGEROUS: dict[str, Any] = {
    "text": "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp;",
    "image": GOOD["image"][0],
    "audio": GOOD["audio"][0],
    "mixed": of("mixed").decode(GOOD["mixed"][0]),
    "category": "<script>alert(1)</script>",
}
"""Items with a script in them, in pictures and sounds among the tags of the file; of others their first example."""
SHOWN = {"text": 2_000, "image": 60_000, "audio": 450_000, "mixed": 63_000}
"""Characters of what is shown, at most; of others as of pictures."""

ROOT = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("name", [*MODALITIES, *PARTS])


def good(name: str) -> list[str | bytes]:
    found = [*GOOD.get(name, ()), *of(name).examples()]
    assert len(found) >= 3, f"{name} has no examples"
    return found


def items(name: str) -> list[Any]:
    return [of(name).decode(content) for content in good(name)]


@EACH
def test_decoding_is_done_once(name: str) -> None:
    """What was decoded and stored decodes to itself, or its id would change."""
    modality = of(name)
    for content in good(name):
        item = modality.decode(content)
        assert modality.decode(item) == item
        assert modality.sample_id(modality.decode(item)) == modality.sample_id(item)
        assert modality.length(item) > 0


@EACH
def test_what_is_no_content_is_refused_with_a_reason(name: str) -> None:
    for content in (*NOTHING, *BAD.get(name, ())):
        with pytest.raises(Undecodable) as caught:
            of(name).decode(content)
        assert str(caught.value)
        assert "\n" not in str(caught.value)


@EACH
def test_a_description_is_a_row_of_plain_values_per_item(name: str) -> None:
    modality = of(name)
    table = modality.describe(items(name))
    assert table.num_rows == len(good(name))
    for column in table.columns:
        assert pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_string(column.type)
        assert column.null_count == 0
        assert not pa.types.is_floating(column.type) or np.isfinite(column.to_numpy()).all()
    one_by_one = pa.concat_tables(modality.describe([item]) for item in items(name))
    assert one_by_one.to_pylist() == table.to_pylist()
    assert modality.describe([]).column_names == table.column_names
    assert modality.describe([]).num_rows == 0


@EACH
def test_the_encoder_gives_a_unit_vector_per_item_in_their_order(name: str) -> None:
    encoder = of(name).encoder(of(name).default_encoder)
    found = encoder.encode(items(name))
    assert (found.shape, found.dtype) == ((len(good(name)), encoder.dimensions), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert len(np.unique(found.round(2), axis=0)) == len(good(name)), "different items differ"
    again = encoder.encode(items(name)[::-1])[::-1]
    alone = np.concatenate([encoder.encode([item]) for item in items(name)])
    for other in (again, alone):
        assert (found * other).sum(1).min() > 0.999, "the same item has the same vector, whatever stands beside it"
    assert encoder.encode([]).shape == (0, encoder.dimensions)
    assert of(name).encoder(of(name).default_encoder) == encoder


@EACH
def test_an_encoder_that_is_not_there_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder") as caught:
        of(name).encoder(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert of(name).default_encoder in str(caught.value)
    assert "\n" not in str(caught.value)


@EACH
def test_label_studio_shows_the_content_of_a_task(name: str) -> None:
    tag = ElementTree.fromstring(of(name).label_studio_object())
    assert (tag.get("name"), tag.get("value")) == ("content", "$content")
    kept: list[bytes] = []

    def file(content: bytes, ending: str) -> str:
        kept.append(content)
        return f"/{len(kept)}{ending}"

    for item in items(name):
        assert isinstance(of(name).label_studio_content(item, file), str)
    assert bool(kept) == of(name).has_files


class Tags(HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, page: str):
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag != "img":  # which nothing closes
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@EACH
def test_what_is_shown_is_safe_whole_and_not_too_long(name: str) -> None:
    modality = of(name)
    page = Tags(modality.show(DANGEROUS[name] if name in DANGEROUS else items(name)[0], 500))
    assert page.open == []
    assert not {tag for tag, _ in page.seen} & {"script", "iframe", "object", "style"}
    assert not [key for _, attributes in page.seen for key in attributes if key.startswith("on")]
    report = (ROOT / "ml_assets" / "visualization" / "templates" / "show.js").read_text(encoding="utf-8")
    tags, attributes = (
        set(re.sub(r'["+\s]+', " ", found).split()) for found in re.findall(r"= new Set\(\(?(.*?)\)?\.split", report, re.DOTALL)
    )
    for item in items(name):
        shown = modality.show(item, 100)
        for tag, its in Tags(shown).seen:
            assert tag.upper() in tags
            assert set(its) <= attributes, "the report shows nothing else"
        assert len(shown) < SHOWN.get(name, SHOWN["image"])
        assert Tags(shown).open == []


def test_text_is_shown_as_it_stands() -> None:
    for text in ("a < b & c", "x" * 100, "&lt;"):
        assert Tags(Text().show(text, 100)).text == text
    assert Tags(Text().show("x" * 101, 100)).text == "x" * 100 + " …"


@given(st.text() | st.binary())
def test_any_text_is_decoded_or_refused(content: str | bytes) -> None:
    try:
        item = Text().decode(content)
    except Undecodable as error:
        reason = str(error)
        assert reason.startswith(("empty", "not UTF-8 text: byte 0x", "not text: "))
    else:
        assert Text().decode(item) == item
        assert item.strip() == item != ""
        assert "\r" not in item
        assert item.encode().decode() == item


@given(st.text())
def test_bytes_and_text_of_the_same_content_are_one_sample(text: str) -> None:
    try:
        item = Text().decode(text)
    except Undecodable:
        return
    assert Text().decode(text.encode()) == item.removeprefix("\ufeff").strip() or text.startswith("\ufeff")


COLUMNS = ("characters", "words", "word_length", "digits", "upper", "punctuation", "script")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello 12", (8, 2, 3.5, 0.25, 0.125, 0, "latin")),
        ("Привет!", (7, 1, 6, 0, 1 / 7, 1 / 7, "cyrillic")),
        ("日本語", (3, 1, 3, 0, 0, 0, "cjk")),
        ("42", (2, 1, 2, 1, 0, 0, "none")),
        ("", (0, 0, 0, 0, 0, 0, "none")),
    ],
)
def test_what_is_said_of_a_text(text: str, expected: tuple[Any, ...]) -> None:
    assert Text().describe([text]).to_pylist() == [dict(zip(COLUMNS, expected, strict=True))]
