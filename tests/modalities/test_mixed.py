"""Samples of several parts: what is one, what models see of it, and what people see."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.media import drawn, saved
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources.table import TableSource
from ml_assets.labeling import media
from ml_assets.modalities import PARTS, Mixed, ModalityField, Undecodable
from ml_assets.store.records import Record

KINDS = {"body": "text", "price": "number", "kind": "category", "sold": "time"}
MIXED = Mixed(parts=KINDS)


def item(**parts: Any) -> str:
    return MIXED.decode(json.dumps(parts))


def test_equal_parts_are_one_sample_however_they_are_written() -> None:
    first = item(body=" A lamp\r\n", price="3", kind="lamp", sold="2026-03-09T11:00:00+01:00")
    other = MIXED.decode(b'\xef\xbb\xbf{"sold": "2026-03-09 10:00:00.7", "kind": " lamp ", "price": 3, "body": "A lamp"}')
    assert first == other == '{"body":"A lamp","kind":"lamp","price":3.0,"sold":"2026-03-09T10:00:00+00:00"}'
    assert MIXED.sample_id(first) == MIXED.sample_id(other)
    assert item(body="A lamp", price=None, kind="") == '{"body":"A lamp"}'
    assert item(price=-0.0) == item(price=0)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.datetimes().map(str)
)


@given(st.dictionaries(st.sampled_from([*KINDS, "other"]), VALUES))
def test_any_parts_are_decoded_or_refused(parts: dict[str, Any]) -> None:
    try:
        found = MIXED.decode(json.dumps(parts, default=str))
    except Undecodable as error:
        reason = str(error)
        assert len(reason.splitlines()) == 1
        return
    assert MIXED.decode(found) == found
    vectors = MIXED.encoder("parts").encode([found]) if "body" not in json.loads(found) else np.ones((1, 1))
    assert np.isfinite(vectors).all()
    assert MIXED.describe([found]).num_rows == 1


@given(st.sampled_from(sorted(PARTS)), st.lists(VALUES, max_size=8))
def test_what_a_part_has_read_it_reads_again(kind: str, values: list[Any]) -> None:
    part = PARTS.parse(kind)
    encoder = part.encoder(part.default_encoder)
    for value in values:
        try:
            read = part.from_json(value)
        except Undecodable:
            continue
        assert part.from_json(read) == part.decode(read) == read
        assert json.loads(json.dumps(part.to_json(read))) == part.to_json(read)
        assert part.from_json(part.to_json(read)) == read
        vector = encoder.encode([read])
        assert vector.shape == (1, encoder.dimensions)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_number_lies_nearer_to_those_of_its_size() -> None:
    one, other, far = PARTS.parse("number").encoder("built_in").encode(["1000", "1100", "30000"])
    assert one @ other > one @ far


def test_what_is_a_part_only_is_no_modality_of_a_project() -> None:
    for kind in PARTS:
        with pytest.raises(ValidationError, match=f"unknown modality '{kind}': choose one of audio, image, mixed, text"):
            CollectionSettings(modality=kind, sources=())
        assert kind not in TypeAdapter(ModalityField).json_schema()["anyOf"][0]["enum"]


OTHERS: dict[str, tuple[Any, str]] = {
    "body": (5, "body: not text: 5"),
    "photo": ({"a": 1}, "photo: not image: {'a': 1}"),
    "price": ([1], "price: not a number between -1e15 and 1e15: [1]"),
    "kind": (1.5, "kind: not a word: 1.5"),
    "sold": (2026, "sold: not a time such as 2026-01-31T12:00:00Z: 2026"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_part_of_another_type_is_told_as_it_is_written(name: str) -> None:
    value, said = OTHERS[name]
    with pytest.raises(Undecodable) as caught:
        Mixed(parts=KINDS | {"photo": "image"}).decode(json.dumps({name: value}))
    assert str(caught.value) == said


def test_what_is_missing_is_null_and_never_zero() -> None:
    table = MIXED.describe([item(price=3, kind="lamp"), item(body="A lamp", sold="2026-03-08T06:30:00Z"), item(price=5)])
    assert table["price"].to_pylist() == [3, None, 5]
    assert table["kind"].to_pylist() == ["lamp", None, None]
    assert table["body_words"].to_pylist() == [None, 2, None]
    assert (table["sold_hour"].to_pylist(), table["sold_weekday"].to_pylist()) == ([None, 6.5, None], [None, "Sunday", None])


def test_models_see_the_inputs_that_are_named_and_stored_vectors_are_computed_once() -> None:
    items = [item(body="A lamp", price=3, kind="lamp"), item(kind="bell"), item(price=4, sold="2026-03-08T06:30:00Z")]
    whole = MIXED.encoder("parts")
    stored = whole.encode(items)
    for inputs in (("price",), ("body", "kind"), ("sold",), ("content",), ("price", "kind", "body", "sold")):
        seen = MIXED.only(inputs).encoder("parts")
        assert (seen.name, seen.dimensions) == (whole.name, whole.dimensions), "they share one table"
        assert np.allclose(seen.of_stored(stored), seen.encode(items), atol=1e-6)
        for name, block in seen.blocks.items():
            there = np.array([name in json.loads(each) for each in items]) & (name in seen.inputs)
            assert (np.linalg.norm(seen.encode(items)[:, block], axis=1) > 0).tolist() == there.tolist()


def test_an_input_that_is_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown input 'colour': choose one of content, body, price, kind, sold"):
        MIXED.only(["colour"])


def test_the_encoder_of_a_part_can_be_named(tmp_path: Path) -> None:
    mixed = Mixed(parts={"title": "text", "body": "text"})
    assert mixed.encoder("parts").name == "title=minilm,body=minilm"
    assert mixed.encoder("body=minilm") == mixed.encoder(mixed.encoder("parts").name) == mixed.encoder("parts")
    for wrong in ("other", "price=minilm", "body=", f"body={tmp_path}"):
        with pytest.raises(ValueError, match="encoder"):
            mixed.encoder(wrong)
    with pytest.raises(ValueError, match="one encoder only"):
        MIXED.encoder("price=minilm")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "at least 1"),
        ({"Body": "text"}, "the part 'Body' needs another name"),
        ({"body": "video"}, "unknown kind of part 'video': choose one of number, category, time, text, image, audio"),
        ({"body": "mixed"}, "unknown kind of part 'mixed'"),
    ],
)
def test_wrong_parts_are_told_with_the_choices(parts: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Mixed(parts=parts)
    assert said in str(caught.value)


def test_a_source_names_the_columns_of_the_parts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("body,price,kind\nA bell,3,bell\nA lamp,,lamp\n")
    source = TableSource(name="a", path=str(tmp_path / "a.csv"), content=("body", "price"))
    [batch] = source.read(str(tmp_path / "a.csv"))
    assert [MIXED.decode(r.content) for r in batch if isinstance(r, Record)] == [
        item(body="A bell", price=3),
        item(body="A lamp"),
    ]
    with pytest.raises(ValidationError, match="names the part 'sold' under content: text has none, name one column"):
        CollectionSettings(modality="text", sources=[source.model_copy(update={"content": ("sold",)})])
    with pytest.raises(ValidationError, match="names the part 'colour' under content: choose from body, price, kind, sold"):
        CollectionSettings(modality=MIXED, sources=[source.model_copy(update={"content": ("colour",)})])


def test_parquet_brings_numbers_times_and_files_as_they_are(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    photo, at = saved(drawn("circle")), datetime(2026, 3, 9, 10, tzinfo=UTC)
    columns = {"photo": [photo, None], "price": [3.5, float("nan")], "sold": [at, at]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    mixed = Mixed(parts={"photo": "image", "price": "number", "sold": "time"})
    source = TableSource(name="a", path=str(tmp_path / "a.parquet"), content=("photo", "price", "sold"))
    [batch] = source.read(str(tmp_path / "a.parquet"))
    first, second = (json.loads(mixed.decode(record.content)) for record in batch if isinstance(record, Record))
    assert base64.b64decode(first["photo"]) == photo
    assert (first["price"], first["sold"], set(second)) == (3.5, "2026-03-09T10:00:00+00:00", {"sold"})


def test_label_studio_gets_each_picture_as_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    mixed = Mixed(parts={"front": "image", "back": "image", "body": "text"})
    pictures = [saved(drawn("circle")), saved(drawn("cross"))]
    front, back = (base64.b64encode(p).decode() for p in pictures)
    parts = mixed.decode(json.dumps({"front": front, "back": back, "body": "<script>1</script>\nline"}))
    shown = media.shown("things", {"k": parts}, mixed)["k"]
    assert "<script>" not in shown
    assert "&lt;script&gt;1&lt;/script&gt;<br>line" in shown
    assert sorted(path.name for path in media.folder("things").iterdir()) == ["k-back.png", "k-front.png"]
    assert {path.read_bytes() for path in media.folder("things").iterdir()} == set(pictures)
    assert '<img style="max-width:100%" src="/data/local-files/?d=things/k-front.png">' in shown
