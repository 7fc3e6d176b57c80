"""Collecting: nothing is lost, nothing comes in twice, and an interrupted pass goes on as if nothing had happened."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_assets.collection import collect as collecting
from ml_assets.collection.collect import Collected, collect, new_files
from ml_assets.collection.sources.files import Files
from ml_assets.modalities import Text
from ml_assets.spool import inbox
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore, Table
from ml_assets.store.records import split_of
from ml_assets.tasks import SingleChoice

from .reviews import AT, TASK, reasons, run, settings, table, tables, texts, uri, write_csv


def test_samples_are_what_stands_in_the_files(store: ProjectStore, data: Path) -> None:
    path = write_csv(
        data / "a.csv", [("fine\r\nindeed ", "good", "g1", 5), ("poor", "", "g2", "")], ["text", "label", "group", "stars"]
    )
    done = run(store, table(path, label="label", group="group", columns=("stars",), labeler="editors"))
    assert done == Collected(received=2, accepted=2, files=1)
    [fine, poor] = sorted(store.table("samples").read().to_pylist(), key=lambda row: row["origin"])
    assert fine == {
        "id": Text().sample_id("fine\nindeed"), "text": "fine\nindeed", "media": None, "source": "first",
        "origin": f"{uri(path)}#1",
        "split": split_of(fine["id"], "g1"), "split_by": "hash", "group": "g1", "columns": '{"stars": "5"}', "collected_at": AT,
    }  # fmt: skip
    assert poor["split"] == split_of("whatever", "g2")
    [label] = store.table("given_labels").read().to_pylist()
    assert (label["sample_id"], label["labeler"], label["labeler_kind"], label["value"]) == (
        fine["id"],
        "editors",
        "published",
        "good",
    )
    [receipt] = store.table("receipts").read().to_pylist()
    assert [receipt[k] for k in ("source", "uri", "received", "accepted", "duplicates", "rejected")] == [
        "first",
        uri(path),
        2,
        2,
        0,
        0,
    ]


def test_an_unchanged_file_is_read_once(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("fine", "good")])
    source = table(path)
    run(store, source)
    assert run(store, source) == Collected()
    assert new_files(store, settings(source), TASK, AT) == ([], [])
    write_csv(data / "b.csv", [("new", "good")])
    assert run(store, table(data)) == Collected(received=1, accepted=1, files=1)
    assert texts(store) == ["fine", "new"]


def test_a_changed_file_is_read_again(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("fine", "good"), ("", "bad"), ("odd", "unheard of")])
    run(store, table(path, label="label"))
    assert reasons(store) == ["empty", "unknown class 'unheard of': choose one of good, bad"]
    write_csv(path, [("new", "bad"), ("fine", "bad"), ("odd", "good"), ("\x00", "bad")])
    os.utime(path, (10**9, 10**9))
    assert run(store, table(path, label="label")) == Collected(received=4, accepted=3, rejected=1, files=1)
    assert texts(store) == ["fine", "new", "odd"]
    values = {r["sample_id"]: r["value"] for r in store.table("given_labels").read().to_pylist()}
    assert values == {Text().sample_id(text): value for text, value in (("fine", "bad"), ("new", "bad"), ("odd", "good"))}
    assert reasons(store) == ["not text: it holds a zero character at position 0"], "what was mended is no reject any more"


def test_other_options_of_a_source_or_task_read_its_files_again(store: ProjectStore, data: Path) -> None:
    """A label column that is named later, a class that is added, a bound that is widened: each must take effect."""
    path = write_csv(data / "a.csv", [("fine", "good"), ("a long story", "fair")])
    other = write_csv(data / "other.csv", [("unaffected", "good")])
    run(store, table(path), table(other, "second"), max_length=10)
    assert store.table("given_labels").count() == 0
    assert run(store, table(path, label="label"), table(other, "second"), max_length=10).files == 1
    assert run(store, table(path, label="label"), table(other, "second"), max_length=20).files == 2
    assert (texts(store), reasons(store)) == (
        ["a long story", "fine", "unaffected"],
        ["unknown class 'fair': choose one of good, bad"],
    )
    more = SingleChoice(classes=("good", "bad", "fair"))
    run(store, table(path, label="label"), max_length=20, task=more)
    assert (store.table("given_labels").count(), reasons(store)) == (2, [])
    same = table(data, label="label")  # another way to name the same file, and options that change no record
    assert (
        run(
            store, same.model_copy(update={"path": f"{data}/a.*"}), max_length=20, poll_seconds=99, test_share=0.5, task=more
        ).files
        == 0
    )


@pytest.mark.parametrize("order", ["train first", "test first"])
def test_a_text_in_both_files_is_test(store: ProjectStore, data: Path, order: str) -> None:
    train = table(
        write_csv(data / "train.csv", [("both", "good"), ("only train", "good")]), "train", split="train", label="label"
    )
    test = table(write_csv(data / "test.csv", [("both", "bad"), ("only test", "good")]), "test", split="test")
    pushed = table(write_csv(data / "more.csv", [("both", "good"), ("only test", "bad")]), "more")
    sources = [pushed, train, test] if order == "train first" else [test, train, pushed]
    for source in sources:
        run(store, source)
    assert texts(store, "split = 'test'") == ["both", "only test"]
    assert texts(store, "split = 'train' AND split_by = 'source'") == ["only train"]
    assert store.table("samples").count() == 3


def test_a_sample_keeps_where_it_was_first_seen(store: ProjectStore, data: Path) -> None:
    for name in ("a", "b"):
        done = run(store, table(write_csv(data / f"{name}.csv", [("same", "good")]), name))
    assert done == Collected(received=1, duplicates=1, files=1)
    [row] = store.table("samples").read().to_pylist()
    assert (row["source"], row["origin"]) == ("a", f"{uri(data / 'a.csv')}#1")


def test_two_sources_over_one_file_accept_its_samples_once(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("one", "good"), ("two", "good")])
    assert run(store, table(path, "first"), table(data, "second")) == Collected(received=4, accepted=2, duplicates=2, files=2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 20_000_000, "too long: 2e+07 characters, above 100000"),
        ("ab", "too short: 2 characters, below 3"),
        ("  \n ", "empty"),
        ("a\x00b", "not text: it holds a zero character at position 1"),
        ("a\udcffb", "not text: half of a surrogate pair at position 1"),
    ],
)
def test_what_is_no_sample_is_set_aside_with_the_reason(store: ProjectStore, data: Path, text: str, reason: str) -> None:
    path = data / "a.csv"
    path.write_bytes(b'text\n"' + text.encode("utf-8", "surrogateescape") + b'"\nfine\n')
    assert run(store, table(path), min_length=3) == Collected(received=2, accepted=1, rejected=1, files=1)
    [reject] = store.table("rejects").read().to_pylist()
    assert (reject["reason"], reject["origin"], len(reject["excerpt"]) <= 200) == (reason, f"{uri(path)}#1", True)
    assert texts(store) == ["fine"]


def test_a_bad_byte_beside_the_text_sets_its_record_aside_alone(store: ProjectStore, data: Path) -> None:
    path = data / "a.csv"
    path.write_bytes(b"text,label,who,stars\none,good,b\xffb,1\ntwo,good,ann,\xff\nthree,\xff,ann,3\nfour,good,ann,4\n")
    done = run(store, table(path, label="label", group="who", columns=("stars",)))
    assert done == Collected(received=4, accepted=2, rejected=2, files=1)
    assert texts(store) == ["four", "three"]
    assert reasons(store) == [
        "not UTF-8 text in its columns", "not UTF-8 text in its group",
        r"unknown class '\udcff': choose one of good, bad",
    ]  # fmt: skip


def test_an_unknown_class_is_rejected_and_its_sample_kept(store: ProjectStore, data: Path) -> None:
    path = write_csv(data / "a.csv", [("fine", "grand"), ("poor", "bad")])
    assert run(store, table(path, label="label")) == Collected(received=2, accepted=2, files=1)
    assert texts(store) == ["fine", "poor"]
    assert store.table("given_labels").read(["value"])["value"].to_pylist() == ["bad"]
    [reject] = store.table("rejects").read().to_pylist()
    assert (reject["origin"], reject["reason"]) == (f"{uri(path)}#1#label", "unknown class 'grand': choose one of good, bad")


def test_one_bad_file_or_source_does_not_stop_the_others(store: ProjectStore, data: Path) -> None:
    write_csv(data / "a.csv", [("fine", "good")])
    (data / "b.csv").write_bytes(b"")
    (data / "c.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100)
    write_csv(data / "d.csv", [("x", "good")], header=["content", "label"])
    write_csv(data / "e.csv", [("poor", "good")])
    (data / os.fsdecode(b"f\xff.csv")).write_text("text\nunreachable")
    done = run(store, table(data / "nothing here", "gone"), table(data))
    assert texts(store) == ["fine", "poor"]
    assert (done.files, done.accepted) == (2, 2)
    assert [p.split(": ", 1)[0] for p in done.problems] == ["source 'gone'"] + ["source 'first'"] * 4
    for problem, said in zip(done.problems, ["nothing at", r"f\udcff.csv", "b.csv", "c.csv", "d.csv"], strict=True):
        assert said in problem
        assert len(problem.splitlines()) == 1
        assert len(problem) < 1000


def test_what_was_pushed_is_collected_with_its_labels(store: ProjectStore) -> None:
    lines = [
        {"content": "fine", "label": "good", "labeler": "ann"},
        {"content": "poor", "label": ["bad"]},
        {"content": ""},
        {"content": "\ud800"},
        {"content": "odd", "group": "\ud800"},
        {"content": "last", "labeler": "\ud800", "label": "bad"},
    ]
    inbox.write("reviews", "samples", [{"client": "shop", "received_at": "2026-03-09", **line} for line in lines])
    inbox.write("reviews", "samples", [{"client": "monitoring", "received_at": "2026-03-09", "content": "unsure"}])
    assert run(store) == Collected(received=7, accepted=4, rejected=3, files=2)
    assert texts(store) == ["fine", "last", "poor", "unsure"]
    assert texts(store, "source = 'production' AND split = 'train' AND split_by = 'source'") == ["unsure"]
    [label] = store.table("given_labels").read().to_pylist()
    assert (label["labeler"], label["labeler_kind"], label["value"]) == ("ann", "program", "good")


def test_many_small_files_cost_little_each(store: ProjectStore, data: Path) -> None:
    """A folder of files is one sample per file: what is written must not be written file by file."""
    for number in range(300):
        (data / f"{number:03}.txt").write_text(f"text {number % 290}" if number else "")
    source = Files(name="texts", path=str(data))
    assert run(store, source) == Collected(received=300, accepted=290, duplicates=9, rejected=1, files=300)
    assert run(store, source) == Collected()
    for name in ("samples", "receipts"):
        assert store.table(name).fragments() <= 3
    counts = store.table("receipts").read(["accepted", "duplicates", "rejected"]).to_pandas().sum()
    assert list(counts) == [290, 9, 1]


# ---- over all mixes of rows and interruptions ----

GOOD = st.sampled_from(["fine", "poor", "odd ", "🙂", "fine\n"])
BAD = st.sampled_from(["", "x" * 30, "a\x00"])
TORN = ['{"text": "torn', "[]", '{"label": "good"}', '{"text": null, "label": "bad"}', '{"text": "\\ud800", "label": ""}']
LABELS = st.sampled_from(["good", "bad", "no", "", 3])
LINE = st.builds(lambda text, label: json.dumps({"text": text, "label": label}), GOOD | BAD, LABELS)
LINES = st.lists(LINE | st.sampled_from(TORN), max_size=6)
FILES = st.lists(st.tuples(st.sampled_from(["train", "test", None]), LINES), min_size=1, max_size=4)
FEW = hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def project(folder: Path, files: Sequence[tuple[str | None, list[str]]], empty: bool = False) -> tuple[ProjectStore, list[Any]]:
    """New tables, and one source per file."""
    place = folder / str(len(list(folder.iterdir())) if folder.exists() else 0)
    place.mkdir(parents=True)
    sources = []
    for number, (split, lines) in enumerate(files):
        path = folder / f"{content_id(*lines)}-{number}.jsonl"
        if not path.exists():
            path.write_text("\n".join(lines))
            os.utime(path, (10**9, 10**9))
        sources.append(table(path, f"source{number}", split=split, label="label", labeler=f"labeler{number}"))
    return ProjectStore("reviews", place), sources


@FEW
@given(FILES)
@example([(None, ['{"text": "fine", "label": "no"}'] * 2), ("test", ['{"text": "fine", "label": "good"}'])])
def test_everything_received_is_accepted_a_duplicate_or_rejected(
    store: ProjectStore, tmp_path: Path, files: list[tuple[str | None, list[str]]]
) -> None:
    made, sources = project(tmp_path / "p", files)
    done = run(made, *sources, max_length=20)
    assert done.received == sum(len(lines) for _, lines in files) == done.accepted + done.duplicates + done.rejected
    assert done.accepted == made.table("samples").count()
    receipts = made.table("receipts").read().to_pylist()
    assert {r["source"]: r["received"] for r in receipts} == {f"source{n}": len(lines) for n, (_, lines) in enumerate(files)}
    assert all(r["received"] == r["accepted"] + r["duplicates"] + r["rejected"] for r in receipts)
    whole = [r for r in made.table("rejects").read().to_pylist() if not r["origin"].endswith("#label")]
    assert len(whole) == done.rejected

    fixed = {split: {json.loads(x)["text"].strip() for x in lines if x.startswith('{"text": "') and x.endswith("}")}
             for split, lines in files if split == "test"}.get("test", set())  # fmt: skip
    by_source = {r["text"]: r["split"] for r in made.table("samples").read(where="split_by = 'source'").to_pylist()}
    assert {text for text, split in by_source.items() if split == "test"} >= fixed & set(texts(made))


@FEW
@given(FILES, st.integers(0, 12), st.sampled_from(["insert", "upsert"]), st.booleans())
def test_a_pass_that_was_interrupted_is_completed_by_the_next(
    store: ProjectStore, tmp_path: Path, files: list[tuple[str | None, list[str]]], after: int, verb: str, before: bool
) -> None:
    """Interrupted around any write: in the end the tables are those of a pass that was not."""
    undisturbed, sources = project(tmp_path / "p", files)
    run(undisturbed, *sources, max_length=20)
    disturbed, _ = project(tmp_path / "p", files)
    write, left = getattr(Table, verb), [after]

    def die(self: Table, *arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and before:
            raise KeyboardInterrupt
        done = write(self, *arguments, **options)
        if left[0] == 0:
            raise KeyboardInterrupt
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, verb, die)
        with suppress(KeyboardInterrupt):
            run(disturbed, *sources, max_length=20)
    run(disturbed, *sources, max_length=20)
    assert tables(disturbed) == tables(undisturbed)
    assert run(disturbed, *sources, max_length=20) == Collected()


def test_large_files_that_were_interrupted_between_batches(
    store: ProjectStore, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(data / "a#1.csv", [(f"text {i % 2500}", "good") for i in range(3000)])
    undisturbed = ProjectStore("reviews", tmp_path / "undisturbed")
    run(undisturbed, table(path, label="label"))
    calls, judge = [], collecting.judge

    def die(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2500:
            raise KeyboardInterrupt
        return judge(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "judge", die)
        with pytest.raises(KeyboardInterrupt):
            run(store, table(path, label="label"))
    assert store.table("samples").count() == 2000
    assert run(store, table(path, label="label")) == Collected(received=3000, accepted=2500, duplicates=500, files=1)
    assert tables(store) == tables(undisturbed)


def test_progress_is_told_per_file(store: ProjectStore, data: Path) -> None:
    path, told = write_csv(data / "a.csv", [("fine", "good"), ("", "bad")]), []
    collect(store, settings(table(path)), TASK, AT, told.append)
    assert told == [f"{uri(path)}: 2 received, 1 accepted, 1 rejected"]


def test_a_source_that_is_one_group_is_in_one_split_as_a_whole(store: ProjectStore, data: Path) -> None:
    for name, whole in (("whole", True), ("other", False)):
        path = write_csv(data / f"{name}.csv", [(f"{name} {i}", f"g{i}") for i in range(40)], ["text", "group"])
        run(store, table(path, name=name, group="group", group_from_source=whole))
    for name, groups in (("whole", {"whole"}), ("other", {f"g{i}" for i in range(40)})):
        found = store.table("samples").read(["split", "group"], f"source = '{name}'").to_pylist()
        assert {row["group"] for row in found} == groups
        assert {row["split"] for row in found} == {split_of("", group) for group in groups}
    fixed = table(write_csv(data / "c.csv", [("one",)], ["text"]), name="fixed", split="test", group_from_source=True)
    run(store, fixed)
    assert store.table("samples").read(["split", "group"], "source = 'fixed'").to_pylist() == [
        {"split": "test", "group": "fixed"}
    ]
