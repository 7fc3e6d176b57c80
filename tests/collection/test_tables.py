"""Tables as people have them: quotes, separators, columns of one name, packed files, paths, splits, other names for classes."""

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from ml_assets.collection.collect import collect
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import BadRecord, SourceError, TableSource
from ml_assets.collection.sources.files import Files
from ml_assets.collection.sources.reading.delimited import MAX_LINES
from ml_assets.modalities import MODALITIES
from ml_assets.store import ProjectStore
from ml_assets.store.records import Record
from ml_assets.tasks import Boxes

from .reviews import AT, TASK, read, reasons, run, table, write_csv


def contents(source: Any) -> list[Any]:
    return [r.content if isinstance(r, Record) else r.reason for r in read(source)]


def labels(source: Any) -> list[Any]:
    return [r.label if isinstance(r, Record) else r.reason for r in read(source)]


# ---- quotes ----


def test_a_quote_in_tsv_is_a_character(data: Path) -> None:
    """It neither swallows the lines up to the next one, nor those to the end of the file."""
    rows = [f"text {i}\tgood" for i in range(10)]
    rows[2] = '"a quote that never closes\tbad'
    for name, later in (("closed.tsv", 'a screen of 6"\tgood'), ("open.tsv", "the last\tgood")):
        path = data / name
        path.write_text("\n".join(["text\tlabel", *rows, later]) + "\n")
        found = read(table(path, label="label"))
        assert [r.content for r in found if isinstance(r, Record)] == [line.split("\t")[0] for line in [*rows, later]]
        assert [r.label for r in found if isinstance(r, Record)][2] == "bad"


@pytest.mark.parametrize("text", ['"Hello" she said', '6" or 7"', '"', '""', 'a "b" c', '"a"b"'])
def test_text_with_quotes_in_tsv_stays_as_it_is(data: Path, text: str) -> None:
    path = data / "a.tsv"
    path.write_text(f"text\tlabel\n{text}\tgood\nafter\tbad\n")
    assert contents(table(path)) == ["" if text == '""' else text, "after"]


def test_tsv_that_another_program_wrote_with_quotes_is_read(data: Path) -> None:
    texts = ["two\nlines", 'say "so"', "a\ttab", "plain", '"', 'ends with a "\n']
    pd.DataFrame({"text": texts, "label": "good"}).to_csv(data / "a.tsv", sep="\t", index=False)
    assert contents(table(data / "a.tsv")) == texts


def test_a_quote_in_csv_that_never_closes_costs_its_own_line(data: Path) -> None:
    lines = ["text,label", "one,good", '"two,bad', *(f"text {i},good" for i in range(10))]
    (data / "a.csv").write_text("\n".join(lines) + "\n")
    found = read(table(data / "a.csv"))
    assert len(found) == 12
    assert [r.reason for r in found if isinstance(r, BadRecord)] == [
        "a quote in line 3 is not closed: write each quote in a cell twice, and the cell in quotes"
    ]
    (data / "a.csv").write_text("\n".join([*lines, 'a screen of 6",good']) + "\n")
    assert sum(isinstance(r, Record) for r in read(table(data / "a.csv"))) == 12


def test_letters_in_csv_are_one_record_though_their_lines_hold_commas(data: Path) -> None:
    texts = ["Dear all,\nthanks", "a,\nb,\nc", "one, two\nthree, four\nfive"]
    write_csv(data / "a.csv", [(text, "good") for text in texts])
    assert contents(table(data / "a.csv")) == texts


def test_many_quotes_that_never_close_are_read_in_time(data: Path) -> None:
    (data / "a.tsv").write_text("text\tlabel\n" + "".join(f'"text {i}\tgood\n' for i in range(3 * MAX_LINES)))
    assert len(contents(table(data / "a.tsv"))) == 3 * MAX_LINES


# ---- formats ----


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_what_stands_between_cells_is_seen_by_the_header(data: Path, separator: str) -> None:
    write_csv(data / "a.csv", [("fine, or so", "good")], delimiter=separator)
    assert contents(table(data / "a.csv", label="label")) == ["fine, or so"]


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_tables_are_read(data: Path, ending: str, pack: Any) -> None:
    (data / f"a.csv.{ending}").write_bytes(pack(b"text,label\nfine,good\n"))
    (data / f"a.jsonl.{ending}").write_bytes(pack(b'{"text": "well"}\n'))
    assert contents(table(data)) == ["fine", "well"]
    (data / f"a.csv.{ending}").write_bytes(pack(b"text,label\n" + b"fine,good\n" * 100_000)[:-20])
    with pytest.raises(SourceError, match=r"cannot be read as csv: \S+") as caught:
        contents(table(data / f"a.csv.{ending}"))
    assert "\n" not in str(caught.value)


def test_a_json_array_is_a_table(data: Path) -> None:
    rows = [{"text": "fine", "label": "good"}, {"label": "bad"}, "x", {"text": "poor", "label": "bad"}]
    (data / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(rows, indent=1).encode())
    assert contents(table(data / "a.json", label="label")) == ["fine", *["no field 'text'"] * 2, "poor"]
    (data / "b.json").write_text('{"text": "fine"}\n{"text": "well"}\n')
    assert contents(table(data / "b.json")) == ["fine", "well"]
    for name, content, said in (
        ("a.jsonl", "[\n{}]", "holds a JSON array where each line is an object"),
        ("c.json", '{"data": []}', "save the array in its field 'data' as a file of its own"),
        ("d.json", "7", "holds a int where an array of objects is needed"),
        ("e.json", "[1", "is no JSON"),
    ):
        (data / name).write_text(content)
        with pytest.raises(SourceError, match=said):
            contents(table(data / name))


def test_two_columns_of_one_name_are_told_where_they_are_needed(data: Path) -> None:
    (data / "a.csv").write_text("text,text,label,n,n\na,b,good,1,2\n")
    with pytest.raises(SourceError, match="has 2 columns named 'text': give each a name of its own"):
        read(table(data / "a.csv"))
    assert labels(table(data / "a.csv", content="label", label="label")) == ["good"]


# ---- values that are not there, or are called otherwise ----


def test_a_label_and_a_group_that_are_nan_are_none(data: Path) -> None:
    frame = pd.DataFrame({"text": list("abc"), "label": [0.0, None, 1.0], "speaker": [1.0, None, None]})
    for path in (data / "a.parquet", data / "a.csv", data / "a.jsonl"):
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        elif path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
        found = [r for r in read(table(path, label="label", group="speaker")) if isinstance(r, Record)]
        assert [r.group for r in found] == ["1.0", None, None], path
        assert [r.label is None for r in found] == [False, True, False], path


def test_classes_are_renamed_wherever_they_stand(data: Path) -> None:
    rows = ["0", "1", 1, 1.0, True, ["0", "x"], '["0"]', [{"start": 0, "end": 1, "label": "0"}], "other", None]
    (data / "a.jsonl").write_text("".join(json.dumps({"text": "t", "label": row}) + "\n" for row in rows))
    source = TableSource.model_validate({"name": "a", "path": str(data), "label": "label", "rename": {0: "bad", "1": "good"}})
    spans = [{"start": 0, "end": 1, "label": "bad"}]
    assert labels(source) == ["bad", "good", "good", "good", True, ["bad", "x"], ["bad"], spans, "other", None]


def test_tags_come_from_several_columns(data: Path) -> None:
    (data / "a.csv").write_text("text,toxic,insult,topic\na,1,0,\nb,0,0,\nc,1.0,TRUE,sport\nd,no,x,news\n")
    assert labels(table(data / "a.csv", label=("toxic", "insult", "topic"))) == [
        ["toxic"], None, ["toxic", "insult", "sport"], ["insult", "news"],
    ]  # fmt: skip


def test_the_split_stands_in_a_column(data: Path) -> None:
    (data / "a.csv").write_text("text,part\na,train\nb,Test\nc,dev\nd,\ne,what\n")
    found = read(table(data / "a.csv", split_column="part", splits={"dev": "train"}))
    assert [r.split if isinstance(r, Record) else r.reason for r in found] == [
        "train", "test", "train", None, "unknown split 'what': say under `splits` what it is, as in `splits: {what: train}`",
    ]  # fmt: skip
    for options, said in (
        ({"split": "test", "split_column": "part"}, "split and split_column"),
        ({"split_column": "part", "splits": {"dev": "validation"}}, "makes 'validation' of a split: choose train or test"),
    ):
        with pytest.raises(ValidationError, match=said):
            table(data / "a.csv", **options)  # type: ignore[arg-type]


# ---- files that a table names ----


def test_a_column_holds_the_paths_of_files(data: Path) -> None:
    for name in ("in/one.txt", "in/deep/two.txt", "secret.txt"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    (data / "in/link.txt").symlink_to(data / "secret.txt")
    paths = ["one.txt", "./deep/two.txt", "deep\\two.txt", str(data / "in/one.txt"), "link.txt"]
    bad = ["../secret.txt", "deep/../../secret.txt", str(data / "secret.txt"), "gone.txt", "", "deep"]
    write_csv(data / "in/a.csv", [(path, "good") for path in [*paths, *bad]], ("file", "label"))
    found = contents(table(data / "in/a.csv", content="file", file_columns="file", label="label"))
    assert found[:5] == [b"in/one.txt", b"in/deep/two.txt", b"in/deep/two.txt", b"in/one.txt", b"secret.txt"]
    where = f"file://{data}/in"
    assert found[5:] == [
        *(f"{path!r} is not below {where}: say with `folder` where the files are" for path in bad[:3]),
        f"no file 'gone.txt' in {where}: say with `folder` where the files are",
        "no text in column 'file'",
        "'deep' cannot be read: Is a directory",
    ]
    with pytest.raises(ValidationError, match="names 'image' under file_columns, which is no column of its content"):
        table(data / "in/a.csv", content="file", file_columns=("image",))


def test_a_part_of_a_mixed_sample_can_be_a_path(data: Path) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16), "red").save(data / "red.png")
    write_csv(data / "a.csv", [("a text", "red.png"), ("another", "")], ("body", "photo"))
    source = table(data / "a.csv", content=("body", "photo"), file_columns=("photo",))
    modality = MODALITIES.parse({"type": "mixed", "parts": {"body": "text", "photo": "image"}})
    parts = [json.loads(modality.decode(content)) for content in contents(source)]
    assert [sorted(each) for each in parts] == [["body", "photo"], ["body"]]


def test_pictures_that_are_paths_say_what_to_do(store: ProjectStore, data: Path) -> None:
    write_csv(data / "a.csv", [("photos/cat 1.png", "good")], ("image", "label"))
    source = table(data / "a.csv", content="image")
    collect(store, CollectionSettings(modality=MODALITIES.parse("image"), sources=(source,)), TASK, AT, lambda _: None)
    assert reasons(store)[0].endswith("; if the table's column holds paths of files, name it under `file_columns`")


def test_folders_name_labels_and_groups(data: Path) -> None:
    for name in ("ann/0/a.txt", "bob/1/b.txt"):
        (data / name).parent.mkdir(parents=True)
        (data / name).write_text(name)
    source = Files.model_validate(
        {"name": "f", "path": str(data), "label_from_folder": True, "group_from_folder": 2, "rename": {0: "bad", 1: "good"}}
    )
    assert [(r.label, r.group) for r in read(source) if isinstance(r, Record)] == [("bad", "ann"), ("good", "bob")]


def test_refused_labels_are_rejects_and_the_samples_stay(store: ProjectStore, data: Path) -> None:
    run(store, table(write_csv(data / "a.csv", [("one", "good"), ("two", "poor")]), label="label"))
    assert reasons(store) == ["unknown class 'poor': choose one of good, bad"]


def test_boxes_of_a_table_may_be_in_pixels(store: ProjectStore, data: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 32), "red").save(data / "red.png")
    boxes = [{"label": "thing", "x": 16, "y": 8, "width": 32, "height": 16}]
    (data / "a.jsonl").write_text(json.dumps({"file": "red.png", "boxes": boxes}) + "\n")
    source = table(data / "a.jsonl", content="file", file_columns="file", label="boxes", label_unit="pixels")
    task, image = Boxes(classes=("thing",)), MODALITIES.parse("image")
    collect(store, CollectionSettings(modality=image, sources=(source,)), task, AT, lambda _: None)
    [value] = store.table("given_labels").read()["value"].to_pylist()
    assert json.loads(value) == [{"label": "thing", "x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}]
