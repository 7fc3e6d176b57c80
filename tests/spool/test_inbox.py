from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_assets.spool import inbox
from ml_assets.state.names import UnknownProject

LINES = [{"content": "half \ud800 and \u2028", "received_at": "2026-03-10T12:00:00+00:00", "client": "app"}, {"content": "b"}]


def test_what_is_written_is_read(home: Path) -> None:
    path = inbox.write("reviews", "samples", LINES)
    assert path.parent == home / "inbox" / "reviews" / "samples"
    assert list(inbox.read("reviews", "samples")) == [(path, LINES)]
    assert list(inbox.read("reviews", "labels")) == []
    assert list(path.parent.iterdir()) == [path], "nothing is left beside it"


def test_the_same_push_is_one_file_whenever_it_comes(home: Path) -> None:
    first = inbox.write("reviews", "samples", LINES)
    before = first.read_bytes()
    assert inbox.write("reviews", "samples", [LINES[0] | {"received_at": "2027-01-01T00:00:00+00:00"}, LINES[1]]) == first
    assert first.read_bytes() == before
    assert inbox.write("reviews", "samples", LINES[:1]) != first
    assert inbox.write("reviews", "samples", [LINES[0] | {"client": "other"}, LINES[1]]) != first


def test_what_cannot_be_kept_leaves_nothing(home: Path) -> None:
    with pytest.raises(TypeError):
        inbox.write("reviews", "samples", [{"content": object()}])
    with pytest.raises(ValueError, match="no samples to keep"):
        inbox.write("reviews", "samples", [])
    with pytest.raises(UnknownProject):
        inbox.write("../reviews", "samples", LINES)
    with pytest.raises(ValueError, match="choose one of samples, labels"):
        inbox.write("reviews", "../labels", LINES)
    assert not home.exists()


def test_a_whole_file_replaces_the_old_one_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    inbox.write_whole(path, b"old")
    (tmp_path / "a" / "b" / "file.json.d").mkdir()
    inbox.write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(IsADirectoryError):
        inbox.write_whole(tmp_path / "a" / "b" / "file.json.d", b"x")
    assert sorted(p.name for p in path.parent.iterdir()) == ["file.json", "file.json.d"]


# ---- the order of arrival ----


def test_pushes_are_numbered_as_they_come_over_both_kinds(home: Path) -> None:
    pushed = (("samples", "a"), ("labels", "b"), ("samples", "a"))
    paths = [inbox.write("reviews", kind, [{"content": text}]) for kind, text in pushed]
    assert [inbox.arrival_of(path.name) for path in paths] == [1, 2, 3]
    assert inbox.write("reviews", "samples", [{"content": "a"}]) == paths[2], "the newest one again is one file"
    assert inbox.arrival_of(f"{'0' * 32}.jsonl") is None, "of the version before"


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "other", "long"])
def test_a_damaged_counter_goes_on_where_the_files_are(home: Path, damage: str) -> None:
    first = inbox.write("reviews", "labels", [{"content": "a"}])
    (first.parent / "done").mkdir()
    first.rename(first.parent / "done" / first.name)
    counter = home / "inbox" / "reviews" / "arrivals"
    content = {"empty": b"", "torn": counter.read_bytes()[:9], "other": b"\xff" * 50, "long": counter.read_bytes() + b"more"}
    counter.unlink() if damage == "gone" else counter.write_bytes(content[damage])
    assert inbox.write("reviews", "labels", [{"content": "a"}]).name == first.name, "what was collected is not kept again"
    assert inbox.arrival_of(inbox.write("reviews", "samples", [{"content": "b"}]).name) == 2
    assert inbox.arrival_of(inbox.write("reviews", "samples", [{"content": "c"}]).name) == 3


def test_pushes_at_once_have_each_a_number_of_its_own(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda n: inbox.write("reviews", "samples", [{"content": str(n)}]), range(64)))
    assert sorted(inbox.arrival_of(path.name) or 0 for path in paths) == list(range(1, 65))
    assert all(path.exists() for path in paths)
