"""The home is its owner's alone, also one that the version before left open; what is made below it is too."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stranger import NOBODY, as_stranger, needs_root

from ml_assets.state.private import NotPrivate, keep_private, make_private_home, temporary_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home that does not exist yet, in a folder of this user's."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ML_ASSETS_SHARED", raising=False)
    before = os.umask(0o022)
    yield tmp_path / "home"
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_and_what_is_made_in_it_is_its_owners_alone(home: Path) -> None:
    keep_private()
    assert not home.exists(), "looking leaves no trace"
    make_private_home()
    (home / "a").mkdir()
    (home / "a" / "b").write_text("")
    child = f"open({str(home / 'c')!r}, 'w')"
    subprocess.run([sys.executable, "-c", child], check=True)
    assert [mode(path) for path in (home, home / "a", home / "a" / "b", home / "c")] == [0o700, 0o700, 0o600, 0o600]


def test_a_home_of_the_version_before_is_closed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    (home / "store").mkdir(parents=True, mode=0o755)
    (home / "store" / "rows").write_text("")
    (home / "program").write_text("")
    (home / "program").chmod(0o755)
    (home / "link").symlink_to(outside)
    (home / "gone").symlink_to(tmp_path / "nowhere")
    assert mode(home) == 0o755
    keep_private()
    paths = (home, home / "store", home / "store" / "rows", home / "program", outside)
    assert [mode(path) for path in paths] == [0o700, 0o700, 0o600, 0o700, 0o644]


@needs_root
def test_another_user_reads_nothing_of_it(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    open_folder = Path("/dev/shm") / f"ml-assets-test-{os.getpid()}"
    open_folder.mkdir(mode=0o755)
    try:
        home = open_folder / "home"
        home.mkdir(mode=0o755)
        (home / "rows").write_text("text")
        (home / "rows").chmod(0o644)
        monkeypatch.setenv("ML_ASSETS_HOME", str(home))
        assert as_stranger((home / "rows").read_text) == "text"
        keep_private()
        with pytest.raises(PermissionError):
            raise as_stranger((home / "rows").read_text)
    finally:
        subprocess.run(["rm", "-r", str(open_folder)], check=True)


@needs_root
def test_a_home_of_another_user_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    with pytest.raises(NotPrivate, match=r"belongs to the user nobody: set ML_ASSETS_HOME to a folder of your own"):
        keep_private()


@pytest.mark.parametrize("others", [0o777, 0o757])
def test_a_home_into_which_others_can_write_is_refused(home: Path, others: int) -> None:
    home.mkdir()
    home.chmod(others)
    with pytest.raises(NotPrivate, match=rf"others can write into the home .*`chmod 700 {home}`"):
        keep_private()
    home.chmod(0o700)
    keep_private()


def test_a_home_in_a_folder_where_others_could_put_another_in_its_place_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(home / "inner" / "home"))
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(NotPrivate, match=f"lies in {home}, where others can put another in its place"):
        keep_private()
    home.chmod(0o777 | stat.S_ISVTX)
    keep_private()  # as in /tmp
    home.chmod(0o777)
    monkeypatch.setenv("ML_ASSETS_SHARED", "1")
    keep_private()


def test_a_home_that_is_not_private_is_one_sentence_of_every_command(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    done = subprocess.run([sys.executable, "-m", "ml_assets.cli", "status"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: others can write into the home")
    assert done.stderr.count("\n") == 1


def test_the_servers_temporary_folder_has_room_for_a_sockets_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (Path("/dev/shm") / f"ml-assets-{os.getpid()}", tmp_path / ("deep" * 20)):
        monkeypatch.setenv("ML_ASSETS_HOME", str(folder))
        folder.mkdir(mode=0o700)
        (folder / "tmp").touch()  # whatever it was
        first = temporary_folder()
        (first / "left").write_text("")
        second = temporary_folder()
        assert list(second.iterdir()) == []
        assert not (first / "left").exists()
        assert (mode(second), (folder / "tmp").resolve()) == (0o700, second.resolve())
        assert len(str(second / "tmpabcdefgh")) < 108
        subprocess.run(["rm", "-r", str(second), str(folder)], check=True)
