"""One bad record is set aside with the reason, and all others are collected."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_assets.collection.collect import Collected, collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import Source
from ml_assets.modalities import MODALITIES
from ml_assets.store import ProjectStore
from ml_assets.store.records import why_not
from ml_assets.store.schemas import SCHEMAS, rows

from .reviews import AT, TASK, reasons, run, table, texts, write_csv

MIXED = {"body": "text", "kind": "category", "price": "number", "when": "time"}


def run_mixed(store: ProjectStore, *sources: Source) -> Collected:
    modality = MODALITIES.parse({"type": "mixed", "parts": MIXED})
    return collect(store, CollectionSettings(modality=modality, sources=sources), TASK, AT, lambda _: None)


def whole(done: Collected) -> bool:
    return done.received == done.accepted + done.duplicates + done.rejected


def push(home: Path, *lines: Any) -> None:
    folder = home / "inbox" / "reviews" / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    content = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    (folder / f"{len(list(folder.iterdir())):016d}-{'0' * 32}.jsonl").write_bytes(content + b"\n")


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "half \ud800"}, {"body": "half \udfff"}, {"\ud800": "x", "kind": "y"}, {"kind": "fine", "body": "\ud83d"},
        {"price": float("nan")}, {"price": float("inf")}, {"price": 10**400}, {"price": "\ud800"}, {"when": "\ud800"},
        {"kind": ["a"]}, {"kind": {"a": 1}}, {"body": "zero\x00"}, {}, "no object", 7, None, ["kind"],
    ],
)  # fmt: skip
def test_a_bad_mixed_sample_is_set_aside_alone(store: ProjectStore, home: Path, content: Any) -> None:
    push(home, {"content": content, "client": "app"}, {"content": {"kind": "fine", "price": 3}, "client": "app"})
    assert run_mixed(store) == Collected(received=2, accepted=1, rejected=1, files=1)
    [reason] = reasons(store)
    assert reason
    assert len(reason) < 600


def test_a_latin_1_byte_in_a_category_sets_its_row_aside_alone(store: ProjectStore, data: Path) -> None:
    (data / "a.csv").write_bytes(b"body,kind,price\nfine,caf\xe9,1\nwell,tea,2\n")
    done = run_mixed(store, table(data / "a.csv", content=("body", "kind", "price")))
    assert done == Collected(received=2, accepted=1, rejected=1, files=1)
    assert reasons(store) == ["kind: not UTF-8 text"]


ODD_LINES: list[Any] = [
    b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe", b"\x00" * 100, b'{"content": "torn', b"[" * 100_000, b"9" * 5000,
    b'{"content": "a", "client": "app", "columns": {"n": 1e999}}',
    b'{"content": "a", "client": "app", "columns": {"n": Infinity}}',
    {"client": "app"}, {"content": "a"}, {"content": None, "client": "app"}, {"content": 7, "client": "app"},
    {"content": ["a"], "client": "app"}, {"content": "a", "client": 7},
    {"content": "a", "client": None}, {"content": "a", "client": ["app"]}, {"content": "a", "client": "\ud800"},
    {"content": "a", "client": "app", "group": 7}, {"content": "a", "client": "app", "group": ["g"]},
    {"content": "a", "client": "app", "group": "g\ud800"}, {"content": "a", "client": "app", "group": "g\x00"},
    {"content": "a", "client": "app", "group": "g" * 5000}, {"content": "a", "client": "app", "columns": [1]},
    {"content": "a", "client": "app", "columns": "c"}, {"content": "a", "client": "app", "columns": {"\ud800": 1}},
    {"content": "a", "client": "app", "columns": {"n": {"m": ["\ud800"]}}},
    {"content": "a", "client": "app", "columns": {"n": {"\udc00": 1}}},
    {"content": "x" * 10**6, "client": "app"}, {"content": "", "client": "app"}, {"content": "a\x00", "client": "app"},
    {"content": "a", "client": "app", "received_at": 7},
]  # fmt: skip


@pytest.mark.parametrize("line", ODD_LINES, ids=range(len(ODD_LINES)))
def test_a_line_of_the_inbox_that_somebody_made_by_hand_is_set_aside_alone(store: ProjectStore, home: Path, line: Any) -> None:
    push(home, line, {"content": "fine", "client": "app"})
    done = run(store)
    assert (done.accepted, done.files, done.problems) == (1, 1, ())
    assert done.rejected == (0 if line == b"" else 1)
    assert whole(done)
    assert texts(store) == ["fine"]


ODD_LABELS: list[Any] = [
    float("nan"), 10**400, {"good": 1}, ["good"], "x" * 10**6, "\ud800", True, {"a": {"b": ["\ud800"]}}, [["good"] * 10_000],
]  # fmt: skip


@pytest.mark.parametrize("label", ODD_LABELS, ids=range(len(ODD_LABELS)))
def test_a_bad_label_is_set_aside_and_its_sample_kept(store: ProjectStore, home: Path, label: Any) -> None:
    push(home, {"content": "odd", "client": "app", "label": label}, {"content": "fine", "client": "app", "label": "good"})
    done = run(store)
    assert (done.accepted, done.rejected) == (2, 0)
    assert store.table("given_labels").read()["value"].to_pylist() == ["good"]
    [reason] = reasons(store)
    assert len(reason) < 600


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00" * 4096, b'{"content": "half", "cli'])
def test_an_empty_or_half_file_of_the_inbox_stops_nothing(store: ProjectStore, home: Path, content: bytes) -> None:
    folder = home / "inbox" / "reviews" / "samples"
    folder.mkdir(parents=True)
    (folder / f"{9:016d}-{'0' * 32}.jsonl").write_bytes(content)
    push(home, {"content": "fine", "client": "app"})
    done = run(store)
    assert (done.accepted, done.files, whole(done)) == (1, 2, True)


def test_numbers_that_are_not_there_are_missing_and_infinite_ones_are_set_aside(store: ProjectStore, data: Path) -> None:
    nested = [{"deep": [float("nan"), 1.0]}, {"deep": [1.0]}, {"deep": [2.0]}]
    found = pa.table({"text": ["one", "two", "three"], "n": [float("nan"), float("inf"), 3.0], "m": nested})
    pq.write_table(found, data / "a.parquet")
    done = run(store, table(data / "a.parquet", columns=("n", "m")))
    assert done == Collected(received=3, accepted=2, rejected=1, files=1)
    kept = {row["text"]: json.loads(row["columns"]) for row in store.table("samples").read(["text", "columns"]).to_pylist()}
    assert kept == {"one": {"n": None, "m": {"deep": [None, 1.0]}}, "three": {"n": 3.0, "m": {"deep": [2.0]}}}
    assert reasons(store) == ["a number in its columns that JSON cannot hold"]


WORDS = st.text(st.characters(), max_size=12)  # halves of surrogate pairs too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
LINES = st.lists(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("content", "client", "label", "labeler", "group", "columns", "received_at"), VALUES)
    ),
    max_size=8,
)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES)
def test_whatever_stands_in_the_inbox_is_collected_or_set_aside(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, lines: list[Any]
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ML_ASSETS_HOME", str(home))
    push(home, *lines, {"content": "fine", "client": "app"})
    done = run(ProjectStore("reviews", home / "store"))
    assert whole(done)
    assert done.received == len(lines) + 1
    assert done.accepted >= 1


@given(st.dictionaries(st.sampled_from(["text", "group", "labeler", "source", "columns"]), WORDS))
def test_what_is_let_through_can_be_held_and_what_cannot_is_not_let_through(row: dict[str, str]) -> None:
    row = {"id": "1", **row}
    if why_not(row) is None:
        rows("samples", [{k: v for k, v in row.items() if k in SCHEMAS["samples"].names}])
    else:
        assert any(not value.isascii() or "\x00" in value for value in row.values())


def test_huge_fields_of_a_table_are_set_aside_alone(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("fine", "good"), ("poor", "b" * 10**6)])
    with path.open("a", newline="") as file:
        csv.writer(file).writerow(["x" * 10**6, "good"])
    assert run(store, table(path, label="label")) == Collected(received=3, accepted=2, rejected=1, files=1)
    assert max(map(len, reasons(store))) < 600
