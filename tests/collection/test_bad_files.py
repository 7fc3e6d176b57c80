"""Files that cannot be read, that change while they are read, and places that cannot be written."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.collection import collect as collecting
from ml_assets.collection.collect import AGAIN, Collected, new_files, unreadable
from ml_assets.collection.sources import TableSource
from ml_assets.collection.sources.files import Files
from ml_assets.commands.plain import plain
from ml_assets.store import ProjectStore

from .reviews import AT, TASK, reasons, run, settings, table, tables, texts, uri, write_csv


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "picture.csv",
            b"\x89PNG\r\n\x1a\n\x00\x00",
            "is no UTF-8 text: its first line holds other bytes, and no column 'text'",
        ),
        ("archive.csv", b"PK\x03\x04\x14\x00\x06\x00" * 100, "is no text: it holds a zero byte at position 5"),
        ("excel.csv", "text\nfine\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        ("empty.csv", b"", "has no column 'text': it has none"),
        ("other.tsv", b"mail\tabout\nx\ty\n", "has no column 'text': it has 'mail', 'about'"),
        ("torn.parquet", b"PAR1", "cannot be read as parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_once_and_tried_again_when_it_changes(
    store: ProjectStore, data: Path, name: str, content: bytes, sentence: str
) -> None:
    write_csv(data / "good.csv", [("fine", "good")])
    (data / name).write_bytes(content)
    source = table(data)
    [problem] = run(store, source).problems
    assert problem.startswith(f"source 'first': {uri(data / name)}")
    assert sentence in problem
    before = tables(store)
    assert new_files(store, settings(source), TASK, AT + AGAIN / 2) == ([], []), "no run is asked for again and again"
    assert run(store, source) == Collected()
    assert tables(store) == before
    assert unreadable(store, settings(source)) == [problem], "as long as it is so, the check says it"
    found, _ = new_files(store, settings(source), TASK, AT + AGAIN + timedelta(seconds=1))
    assert [file.uri for _, file in found] == [uri(data / name)], "now and then: what it lies on may be back"
    assert texts(store) == ["fine"]
    if name.endswith("csv"):
        write_csv(data / name, [("mended", "good")])
        assert run(store, source) == Collected(received=1, accepted=1, files=1)
        assert (texts(store), reasons(store), unreadable(store, settings(source))) == (["fine", "mended"], [], [])


def test_a_file_that_is_taken_away_is_no_problem_any_more(store: ProjectStore, data: Path) -> None:
    (data / "bad.csv").write_bytes(b"")
    source = table(data)
    run(store, source)
    assert len(unreadable(store, settings(source))) == 1
    (data / "bad.csv").unlink()
    assert unreadable(store, settings(source)) == []


def test_what_could_be_read_of_a_file_counts(store: ProjectStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data / "a.csv"
    path.write_bytes(b"text\nfine\npoor\n" + b'"' + b"x" * (64 * 2**20 + 10))
    [problem] = run(store, table(path)).problems
    assert "field larger than field limit" in problem
    [receipt] = store.table("receipts").read().to_pylist()
    assert receipt["received"] == receipt["accepted"] + receipt["duplicates"] + receipt["rejected"]


@pytest.mark.parametrize("kind", ["table", "files"])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    store: ProjectStore, data: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Somebody still writes: what was read of it may be torn, and nothing of it comes in until it stands still."""
    still, growing = write_csv(data / "a.csv", [("still", "good")]), data / "b.csv"
    growing.write_text("text,label\nwhole,good\nto")
    source = table(data) if kind == "table" else Files(name="first", path=str(data))
    read = type(source).read

    def while_somebody_writes(self: Any, place: str) -> Iterator[Any]:
        yield from read(self, place)
        if place == uri(growing):
            with growing.open("a") as file:
                file.write("rn,bad\n")

    with monkeypatch.context() as patch:
        patch.setattr(type(source), "read", while_somebody_writes)
        done = run(store, source)
    assert (done.files, done.received, done.accepted) == (1, 1, 1)
    assert done.problems == (f"source 'first': {uri(growing)} changed while it was read: the next run reads it again",)
    assert [row["uri"] for row in store.table("receipts").read().to_pylist()] == [uri(still)]
    undisturbed = ProjectStore("reviews", data.parent / "undisturbed")
    run(undisturbed, source)
    assert run(store, source).files == 1
    assert tables(store) == tables(undisturbed)
    assert "to" not in texts(store)


def test_a_large_file_that_grows_loses_nothing(store: ProjectStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first batches are in the tables already when it turns out that it has changed."""
    path, rows = data / "a.csv", [(f"text {i}", "good") for i in range(2500)]
    write_csv(path, rows)
    read = TableSource.read

    def while_somebody_writes(self: Any, place: str) -> Iterator[Any]:
        yield from read(self, place)
        write_csv(path, [*rows, ("one more", "bad")])

    with monkeypatch.context() as patch:
        patch.setattr(TableSource, "read", while_somebody_writes)
        assert run(store, table(path)).files == 0
    assert run(store, table(path)) == Collected(received=2501, accepted=2501, files=1)


# ---- where nothing can be written ----


def full_disk(store: ProjectStore, source: TableSource, limit: int) -> str:
    """Collect while no file may become larger than `limit` bytes; what is said."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with pytest.raises(OSError, match=r"\(os error 27\)|too large") as caught:
            run(store, source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return plain(str(caught.value))


@pytest.mark.parametrize("limit", [0, 1000, 30_000])
def test_a_full_disk_is_one_sentence_and_the_next_run_makes_the_same_tables(
    store: ProjectStore, data: Path, limit: int
) -> None:
    source = table(write_csv(data / "a.csv", [(f"text {i}", "good") for i in range(2500)]), label="label")
    undisturbed = ProjectStore("reviews", data.parent / "undisturbed")
    run(undisturbed, source)
    said = full_disk(store, source, limit)
    assert said == "the tables cannot be used: file too large"
    assert store.table("receipts").count() == 0
    run(store, source)
    assert tables(store) == tables(undisturbed)


def test_a_store_below_a_file_is_one_sentence(data: Path) -> None:
    (data / "file").write_text("")
    with pytest.raises((OSError, ValueError), match="Not a directory") as caught:
        run(ProjectStore("reviews", data / "file"), table(write_csv(data / "a.csv", [("fine", "good")])))
    assert plain(str(caught.value)).endswith("cannot be used: not a directory")


AS_NOBODY = """
import os, sys
from pathlib import Path
from ml_assets.collection.collect import collect
from ml_assets.commands.plain import plain
from ml_assets.store import ProjectStore
from tests.collection.reviews import AT, TASK, settings, table

place = Path(sys.argv[1])
def run(store, data):
    done = collect(ProjectStore("reviews", place / store), settings(table(place / data)), TASK, AT, lambda told: None)
    print(done.accepted, *done.problems)

run("warm", "warm.csv")  # Python may lie where only root reads: everything is imported before
if os.getuid() == 0:  # root may do anything
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
run("open", "data")
try:
    run("closed", "data")
except OSError as error:
    print(plain(str(error)))
"""


def test_folders_that_may_not_be_read_or_written(tmp_path: Path) -> None:
    """As a user who is not root: a file that may not be read is said, and a store that may not be written changes nothing."""
    for name, mode in (("data", 0o755), ("open", 0o777), ("closed", 0o555)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    for name, text in (("warm.csv", "warm"), ("data/a.csv", "fine"), ("data/b.csv", "secret")):
        (tmp_path / name).write_text(f"text\n{text}\n")
    (tmp_path / "data" / "b.csv").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):  # pytest makes them for their owner alone
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(0o755)
    environment = {**os.environ, "ML_ASSETS_HOME": str(tmp_path / "open")}
    checkout = Path(collecting.__file__).parents[2]
    command = [sys.executable, "-c", AS_NOBODY, str(tmp_path)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, read, unwritten = done.stdout.splitlines()
    assert read.startswith("1 source 'first': ")
    assert "b.csv cannot be read as csv: " in read
    assert "ermission denied" in read
    assert unwritten.endswith("cannot be used: permission denied")
    assert list((tmp_path / "closed").iterdir()) == []
