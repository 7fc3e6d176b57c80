"""Where files are: links, brackets in paths, hidden folders, names that mean something else elsewhere."""

import os
from pathlib import Path

import pytest

from ml_assets.collection.collect import collect, unreadable
from ml_assets.collection.sources import SourceError
from ml_assets.collection.sources.files import Files
from ml_assets.collection.sources.reading import places
from ml_assets.collection.sources.reading.places import fingerprint, listing, path_here
from ml_assets.spool import inbox
from ml_assets.store import ProjectStore
from ml_assets.store.records import Record

from .reviews import AT, TASK, read, settings, table, texts, write_csv


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(pattern: Path | str, below: Path) -> list[str]:
    return [str(path_here(file.uri)).removeprefix(f"{below}/") for file in listing(str(pattern))]


# ---- links ----


def test_linked_files_folders_and_tables_are_read(data: Path) -> None:
    for i in range(3):
        write(data / f"real/billing/{i}.txt", f"invoice {i} is wrong")
        write(data / f"links/technical/{i}.txt", f"page {i} is white")
    (data / "links/billing").mkdir()
    for i in range(3):
        (data / f"links/billing/{i}.txt").symlink_to(data / f"real/billing/{i}.txt")
    (data / "links/again").symlink_to(data / "real/billing")
    write_csv(data / "real/a.csv", [("fine", "good")])
    (data / "links/b.csv").symlink_to("../real/a.csv")
    found = read(Files(name="texts", path=f"{data}/links/*/*.txt", label_from_folder=True))
    assert [r.label for r in found if isinstance(r, Record)] == ["again"] * 3 + ["billing"] * 3 + ["technical"] * 3
    assert len(names(data / "links", data)) == 10
    assert [r.content for r in read(table(Path(f"{data}/links/*.csv"))) if isinstance(r, Record)] == ["fine"]


def test_a_link_that_leads_round_in_a_circle_ends(data: Path) -> None:
    write(data / "a/one.txt")
    (data / "a/round").symlink_to(data)
    (data / "b").symlink_to("a")
    assert names(data, data) == ["a/one.txt", "b/one.txt"]


def test_a_link_to_nothing_is_told_and_the_others_are_read(store: ProjectStore, data: Path) -> None:
    write(data / "one.txt", "fine")
    (data / "gone.txt").symlink_to(data / "nowhere")
    source = Files(name="texts", path=str(data))
    done = collect(store, settings(source), TASK, AT, lambda _: None)
    assert texts(store) == ["fine"]
    assert "gone.txt cannot be read: No such file" in done.problems[0]
    assert "gone.txt" in unreadable(store, settings(source))[0]


def test_a_folder_that_cannot_be_listed_is_told(store: ProjectStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(data / "one.txt", "fine")
    (data / "closed").mkdir()
    listed = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):  # to root no folder is closed
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = collect(store, settings(Files(name="texts", path=str(data))), TASK, AT, lambda _: None)
    assert texts(store) == ["fine"]
    assert "closed cannot be read: Permission denied" in done.problems[0]


def test_a_change_behind_a_link_is_a_change(data: Path) -> None:
    target = write(data / "real.txt")
    (data / "link.txt").symlink_to(target)
    [before] = listing(str(data / "link.txt"))
    write(target, "more of it")
    [after] = listing(str(data / "link.txt"))
    assert (before.uri, before.fingerprint != after.fingerprint) == (after.uri, True)
    assert after.fingerprint == fingerprint(after.uri)


# ---- names ----


@pytest.mark.parametrize("folder", ["c03 [1]", "a[b", "a]b", "what?", "st*r", "[!a]", "[[]x]", "{a,b}", "$HOME"])
def test_what_a_folder_is_called_is_no_glob(tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / folder / "home"
    write(home / "data/a.csv")
    monkeypatch.setenv("ML_ASSETS_HOME", str(home))
    monkeypatch.setenv("DATA", f"{home}/data")
    for pattern in ("$ML_ASSETS_HOME/data/*.csv", "${DATA}/*.csv", "$DATA/**/*.csv", "$DATA", str(home / "data/a.csv")):
        assert names(pattern, home) == ["data/a.csv"], pattern
    monkeypatch.chdir(home)
    assert names("data/*.csv", home) == ["data/a.csv"]


def test_a_variable_may_hold_a_glob(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(data / "a.csv")
    monkeypatch.setenv("TABLES", f"{data}/*.csv")
    assert names("$TABLES", data) == ["a.csv"]


def test_a_file_of_exactly_that_name_is_meant(data: Path) -> None:
    for name in ("report [1].csv", "report 1.csv", "a::b.txt", "FAQ?.csv", "FAQs.csv", "zip::a.csv"):
        write_csv(data / name, [(name, "good")])
    for name in ("report [1].csv", "a::b.txt", "FAQ?.csv", "zip::a.csv"):
        assert names(data / name, data) == [name]
        format = None if name.endswith("csv") else "csv"
        assert [r.content for r in read(table(data / name, format=format)) if isinstance(r, Record)] == [name]
    assert names(data / "FAQ[?s].csv", data) == ["FAQ?.csv", "FAQs.csv"]


def test_hidden_files_and_folders_are_left_out_unless_they_are_named(data: Path) -> None:
    for name in ("a/one.txt", "a/.two.txt", ".ipynb_checkpoints/three.txt", "a/.cache/four.txt"):
        write(data / name)
    assert names(data, data) == ["a/one.txt"]
    assert names(data / "**/*.txt", data) == ["a/one.txt"]
    assert names(data / ".ipynb_checkpoints", data) == [".ipynb_checkpoints/three.txt"]
    assert names(data / "*/.cache/*", data) == ["a/.cache/four.txt"]
    assert names(data / "a/.two.txt", data) == ["a/.two.txt"]


def test_hidden_folders_of_an_object_store_are_left_out(data: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/a.txt": b"x", "/bucket/.cache/b.txt": b"x", "/bucket/sub/.c.txt": b"x"})
    try:
        assert [file.uri for file in listing("memory://bucket")] == ["memory:///bucket/a.txt"]
        assert [file.uri for file in listing("memory://bucket/**")] == ["memory:///bucket/a.txt"]
    finally:
        memory.rm("/bucket", recursive=True)


def test_what_is_no_file_is_left_out(data: Path) -> None:
    write(data / "one.txt")
    os.mkfifo(data / "pipe.txt")
    assert names(data, data) == ["one.txt"]


def test_a_glob_that_cannot_be_is_one_sentence(data: Path) -> None:
    with pytest.raises(SourceError, match="is no glob"):
        listing(f"{data}/a**b/*.txt")


# ---- a home that was moved ----


def test_a_home_that_was_moved_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def passed(home: Path) -> tuple[dict[str, int], ProjectStore]:
        monkeypatch.setenv("ML_ASSETS_HOME", str(home))
        store = ProjectStore("reviews", home / "store")
        source = table(Path("$ML_ASSETS_HOME/data/*.csv"), label="label")
        done = collect(store, settings(source), TASK, AT, lambda _: None)
        return {name: getattr(done, name) for name in ("files", "received", "accepted", "duplicates")}, store

    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    write_csv(home / "data/a.csv", [("fine", "good"), ("poor", "bad")])
    monkeypatch.setenv("ML_ASSETS_HOME", str(home))
    inbox.write("reviews", "samples", [{"client": "shop", "content": "pushed"}])
    assert passed(home)[0] == {"files": 2, "received": 3, "accepted": 3, "duplicates": 0}
    moved = home.rename(tmp_path / "elsewhere")
    found, store = passed(moved)
    assert found["files"] == 0
    write_csv(moved / "data/a.csv", [("fine", "good"), ("poor", "good"), ("new", "bad")])
    assert passed(moved)[0] == {"files": 1, "received": 3, "accepted": 3, "duplicates": 0}
    assert store.table("receipts").count() == 2
    said = {row["sample_id"]: row["value"] for row in store.table("given_labels").read().to_pylist()}
    assert sorted(said.values()) == ["bad", "good", "good"]
    assert store.table("given_labels").count() == 3


def test_what_a_version_before_collected_is_not_collected_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "data").mkdir(parents=True)
    path, store = write_csv(home / "data/a.csv", [("fine", "good"), ("poor", "fair")]), ProjectStore("reviews", home / "store")
    source = table(path, label="label")
    with monkeypatch.context() as before:
        before.setattr(places, "uri_of", lambda path: f"file://{path}")
        assert collect(store, settings(source), TASK, AT, lambda _: None).received == 2
    assert collect(store, settings(source), TASK, AT, lambda _: None).files == 0
    write_csv(path, [("fine", "bad"), ("poor", "bad")])
    done = collect(store, settings(source), TASK, AT, lambda _: None)
    assert (done.accepted, done.duplicates) == (2, 0)
    assert [store.table(name).count() for name in ("receipts", "given_labels", "rejects")] == [1, 2, 0]
