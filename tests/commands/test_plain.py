"""What the system and libraries say, as a person reads it."""

from pathlib import Path

import pytest

from ml_assets.commands.plain import plain


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("[Errno 28] No space left on device", "no space left on device"),
        ("[Errno 13] Permission denied: '/a/b'", "/a/b cannot be used: permission denied"),
        ("[Errno 13] Permission denied: '/a/b' -> '/c'", "/a/b cannot be used: permission denied"),
        (
            "LanceError(IO): Read-only file system (os error 30), /home/x/lance-io/src/object_store.rs:1013:21",
            "the tables cannot be used: read-only file system",
        ),
        (
            "LanceError(IO): Generic LocalFileSystem error: IO error for operation on /a/b.lance/_versions: "
            "Not a directory (os error 20), /home/x/object_store.rs:1576:42",
            "/a/b.lance/_versions cannot be used: not a directory",
        ),
        ("Invalid user input: no such scheme\nValid: s3, /home/x/y.rs:2:9", "Invalid user input: no such scheme Valid: s3"),
        (
            "(sqlite3.OperationalError) database or disk is full\n[SQL: CREATE INDEX i]\n(Background on this error at: https://x)",
            "a database cannot be used: database or disk is full",
        ),
        ("unknown project 'a: [b]': choose one of c", "unknown project 'a: [b]': choose one of c"),
    ],
)
def test_messages(said: str, read: str) -> None:
    assert plain(said) == read


def test_who_cannot_write_to_the_home_reads_how_to_choose_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    assert plain(f"[Errno 30] Read-only file system: '{tmp_path}/logs'") == (
        f"{tmp_path}/logs cannot be used: read-only file system; ML_ASSETS_HOME names another folder"
    )
