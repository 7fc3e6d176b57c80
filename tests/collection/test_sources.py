"""What a source yields: records with their origin, and one sentence for what cannot be read."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.collection.sources import BadRecord, SourceError, Upload
from ml_assets.collection.sources.base import BATCH
from ml_assets.collection.sources.files import MAX_BYTES, Files
from ml_assets.spool import inbox
from ml_assets.store.records import Record

from .reviews import read, table, uri, write_csv

ROWS = [("fine", "good", "ann"), ('line\nend, and "quotes"', "bad", "eve"), ("  🙂 ", "", "bob")]
FRAME = pd.DataFrame(ROWS, columns=["text", "label", "who"])


def written(path: Path) -> Path:
    """The same three rows in the format that the file's ending names."""
    if path.suffix == ".parquet":
        FRAME.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in FRAME.to_dict("records")), encoding="utf-8")
    else:
        FRAME.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl", "CSV"])
def test_every_format_says_the_same(data: Path, ending: str) -> None:
    path = written(data / f"reviews.{ending}")
    found = read(table(path, split="test", label="label", labeler="editors", group="who", columns=("who",)))
    assert found == [
        Record(text, f"{uri(path)}#{i}", "test", who, label or None, "editors", columns={"who": who})
        for i, (text, label, who) in enumerate(ROWS, 1)
    ]  # fmt: skip


def test_the_format_can_be_named_where_the_ending_does_not_tell_it(data: Path) -> None:
    path = written(data / "reviews.csv").rename(data / "reviews.txt")
    assert len(read(table(path, format="csv"))) == 3
    with pytest.raises(
        SourceError, match=r"reviews.txt has an unknown format: name it with `format`, one of csv, tsv, parquet, jsonl, json"
    ):
        read(table(path))


def test_large_files_come_in_batches(data: Path) -> None:
    path = write_csv(data / "many.csv", [(i, "good") for i in range(2 * BATCH + 1)])
    assert [len(batch) for batch in table(path).read(str(path))] == [BATCH, BATCH, 1]


def test_a_folder_a_glob_a_file_and_a_uri_list_their_files_sorted(data: Path) -> None:
    for name in ("b.csv", "a.csv", "sub/c.csv", ".hidden.csv", "notes.txt"):
        (data / name).parent.mkdir(exist_ok=True)
        write_csv(data / name, [("x", "good")])

    def listed(path: str) -> list[str]:
        return [Path(file.uri).name for file in table(Path(path)).files()]

    assert listed(str(data)) == ["a.csv", "b.csv", "notes.txt", "c.csv"]
    assert listed(f"{data}/*.csv") == ["a.csv", "b.csv"]
    assert listed(f"{data}/**/*.csv") == ["a.csv", "b.csv", "c.csv"]
    assert listed(f"{data}/b.csv") == ["b.csv"]
    assert [file.uri for file in Files(name="x", path=f"file://{data}/b.csv").files()] == [uri(data / "b.csv")]
    with pytest.raises(SourceError, match="nothing matches"):
        listed(f"{data}/*.none")


def test_an_object_store_is_listed_and_read_like_a_folder() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/one.csv", b"text,label\nfine,good\n")
    source = table(Path("x")).model_copy(update={"path": "memory://bucket/*.csv"})
    try:
        assert read(source) == [Record("fine", "memory:///bucket/one.csv#1", labeler="published")]
        [before] = source.files()
        memory.pipe("/bucket/one.csv", b"text,label\nother,good\n")
        assert source.files() != [before]
    finally:
        memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("path", ["no/such/place", "nosuchscheme://x"])
def test_a_place_that_cannot_be_listed_is_one_sentence(data: Path, path: str) -> None:
    with pytest.raises(SourceError, match=r"nothing at|cannot be listed") as caught:
        table(Path(path)).model_copy(update={"path": path}).files()
    assert "\n" not in str(caught.value)


def test_the_home_stands_for_itself_in_paths(home: Path) -> None:
    (home / "data").mkdir(parents=True)
    write_csv(home / "data" / "a.csv", [("x", "good")])
    for path in ("$ML_ASSETS_HOME/data", "${ML_ASSETS_HOME}/data/*.csv"):
        assert [file.uri for file in table(Path(path)).files()] == [uri(home / "data" / "a.csv")]


def test_what_is_not_there_comes_with_what_to_do(data: Path) -> None:
    for source in (
        table(data / "a.csv", hint="`fetch` brings it"),
        Files(name="x", path=f"{data}/*.txt", hint="`fetch` brings it"),
    ):
        with pytest.raises(SourceError, match=r"(nothing at|nothing matches) \S+: `fetch` brings it$"):
            source.files()


# ---- bad input ----


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.csv", b"", "has no column 'text': it has none"),
        ("empty.parquet", b"", "cannot be read as parquet"),
        ("torn.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
        ("other.csv", b"content,label\nx,good\n", "has no column 'text': it has 'content', 'label'"),
        ("picture.csv", bytes(range(256)) * 4000, "is no text: it holds a zero byte at position 0"),
        ("wide.csv", b",".join(b"column%d" % i for i in range(5000)), "has no column 'text'"),
        ("one_word.csv", b"x" * 1_000_000, "has no column 'text'"),
        ("huge.csv", b'text\n"' + b"x" * (64 * 2**20 + 10), "cannot be read as csv: field larger than field limit"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_short_sentence(data: Path, name: str, content: bytes, sentence: str) -> None:
    (data / name).write_bytes(content)
    with pytest.raises(SourceError, match=sentence) as caught:
        read(table(data / name))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_table_of_numbers_has_no_text(data: Path) -> None:
    pd.DataFrame({"text": [1, 2]}).to_parquet(data / "numbers.parquet")
    assert [r.reason for r in read(table(data / "numbers.parquet")) if isinstance(r, BadRecord)] == [
        "no text in column 'text'"
    ] * 2


def test_nothing_in_a_jsonl_file_is_nothing(data: Path) -> None:
    (data / "empty.jsonl").write_text("\n\n")
    assert read(table(data / "empty.jsonl")) == []


def test_broken_rows_are_set_aside_one_by_one(data: Path) -> None:
    path = data / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\nfine,good\nshort\nlong,good,more,and more\nb\xffd,good\nlast,bad\n")
    found = read(table(path))
    assert [(r.origin, r.reason) for r in found if isinstance(r, BadRecord)] == [
        (f"{uri(path)}#2", "1 fields where the header has 2"),
        (f"{uri(path)}#3", "4 fields where the header has 2"),
    ]
    assert [r.content for r in found if isinstance(r, Record)] == ["fine", "b\udcffd", "last"]


def test_broken_lines_of_json_are_set_aside_one_by_one(data: Path) -> None:
    lines = [b'{"text": "fine"}', b'{"text": "torn', b"[1, 2]", b'{"content": "x"}', b'{"text": 5}', b'{"text": "b\xffd"}',
             b"[" * 200_000, b'{"text": "last"}']  # fmt: skip
    path = data / "lines.jsonl"
    path.write_bytes(b"\n".join(lines))
    found = read(table(path))
    assert [r.content for r in found if isinstance(r, Record)] == ["fine", "last"]
    assert [r.reason.split(":")[0] for r in found if isinstance(r, BadRecord)] == [
        "not a line of JSON", "no field 'text'", "no field 'text'", "no text in column 'text'", *["not a line of JSON"] * 2,
    ]  # fmt: skip
    assert [r.origin for r in found] == [f"{uri(path)}#{n}" for n in range(1, 9)]


def test_parquet_text_that_is_not_utf8_is_set_aside_alone(data: Path) -> None:
    """Parquet does not check what it calls a string; other writers let Latin-1 through."""
    raw = pa.array([b"fine", b"b\xffd", None, "été".encode()], pa.binary())
    column = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers(), raw.null_count)
    pq.write_table(pa.table({"text": column, "label": ["good"] * 4}), data / "latin.parquet")
    found = read(table(data / "latin.parquet", label="label"))
    assert [r.content if isinstance(r, Record) else r.reason for r in found] == [
        "fine", "b\udcffd", "no text in column 'text'", "été",
    ]  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_no_content_of_a_file_is_more_than_a_sentence(data: Path, content: bytes, ending: str) -> None:
    path = data / f"any.{ending}"
    path.write_bytes(b"text,label\n" * (ending == "csv") + content)
    try:
        found = read(table(path))
    except SourceError as error:
        found, problem = [], str(error)
    else:
        problem = ""
    assert len(problem.splitlines()) <= 1
    assert [r.origin for r in found] == [f"{uri(path)}#{n}" for n in range(1, len(found) + 1)]


# ---- one file, one sample ----


def test_files_are_samples_and_their_folder_can_be_their_label(data: Path) -> None:
    for name in ("good/one.txt", "bad/two.txt"):
        (data / name).parent.mkdir()
        (data / name).write_text(name)
    assert read(Files(name="texts", path=str(data), split="train")) == [
        Record(b"bad/two.txt", uri(data / "bad/two.txt"), "train"),
        Record(b"good/one.txt", uri(data / "good/one.txt"), "train"),
    ]
    found = read(Files(name="texts", path=f"{data}/*/*.txt", label_from_folder=True, labeler="editors"))
    assert [(r.label, r.labeler) for r in found if isinstance(r, Record)] == [("bad", "editors"), ("good", "editors")]


def test_a_file_that_is_too_large_is_set_aside_unread(data: Path) -> None:
    with (data / "large.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    [bad] = read(Files(name="texts", path=str(data)))
    assert bad == BadRecord(uri(data / "large.txt"), "larger than 64 MiB", "")


def test_a_file_that_is_gone_is_one_sentence(data: Path) -> None:
    for source in (Files(name="texts", path=str(data)), table(data)):
        with pytest.raises(SourceError, match=r"gone.csv cannot be read.*: .*No such file"):
            list(source.read(f"{data}/gone.csv"))


@pytest.mark.parametrize("name", ["a#b", "a b%20", "ä🙂", "[x]", "a::b", "a?b", "{a}", "a*", "zip::a", "~a", "$HOME", "a\nb"])
def test_odd_names_are_names(data: Path, name: str) -> None:
    write_csv(data / f"{name}.csv", [("x", "good")])
    for source in (table(data), Files(name="texts", path=str(data))):
        [file] = source.files()
        [[record]] = source.read(file.uri)
        assert record.origin.startswith(file.uri)


# ---- the inbox ----


PUSHED_AT = datetime(2026, 3, 9, tzinfo=UTC)


def push(*lines: dict[str, Any], project: str = "reviews") -> Path:
    return inbox.write(project, "samples", [{"client": "shop", "received_at": "2026-03-09", **line} for line in lines])


def test_what_was_pushed_comes_with_who_pushed_it(home: Path) -> None:
    assert Upload(project="reviews").files() == []
    path = push({"content": "fine", "label": "good", "labeler": "ann", "group": "g", "columns": {"n": 1}}, {"content": "plain"})
    push({"content": "of another project"}, project="other")
    assert read(Upload(project="reviews")) == [
        Record("fine", f"{uri(path)}#1", None, "g", "good", "ann", "program", {"n": 1, "client": "shop"}, None, 1, PUSHED_AT),
        Record("plain", f"{uri(path)}#2", None, None, None, None, "program", {"client": "shop"}, None, 1),
    ]


def test_what_monitoring_picked_is_no_test_sample(home: Path) -> None:
    push({"content": "unsure", "client": "monitoring"})
    [record] = read(Upload(project="reviews"))
    assert isinstance(record, Record)
    assert (record.split, record.source) == ("train", "production")
