"""Where the last pull stopped is a shortcut: a damaged file is told, and all is read again."""

import json
import logging
from pathlib import Path

import pytest

from ml_assets.labeling.annotations import Invalid
from ml_assets.labeling.pull import Mark, _write_mark, read_mark
from ml_assets.store import ProjectStore

GOOD = Mark("2026-03-01", "2026-03-09T12:00:00.000000Z", 3, {"7": "2026-03-09"}, (Invalid(1, 7, "s", "why"),))


def test_a_mark_is_read_as_it_was_written(store: ProjectStore) -> None:
    assert read_mark(store) is None
    _write_mark(store, GOOD)
    assert read_mark(store) == GOOD


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"\x00" * 100, b"{}", b'{"project": 7}', b"[" * 100_000,
        json.dumps({"project": "p", "invalid": [{}]}).encode(), json.dumps({"project": "p", "recent": ["a"]}).encode(),
        json.dumps({"project": "p", "until": "soon"}).encode(), json.dumps({"project": "p", "until": "0001-01-01"}).encode(),
        json.dumps({"project": "p", "annotated": "many"}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_mark_is_told_and_all_is_read_again(
    store: ProjectStore, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    _write_mark(store, GOOD)
    path = Path(store.uri) / "label_studio.json"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, "ml_assets.labeling"):
        assert read_mark(store) is None
    assert f"{path} is " in caplog.text
    assert "all answers are read again" in caplog.text
