from pathlib import Path

import pytest

from ml_assets import inbox
from ml_assets.store import UnknownProject

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
