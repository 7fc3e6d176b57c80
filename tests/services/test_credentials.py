import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.state import credentials


def test_are_made_once_and_only_their_owner_reads_them(home: Path) -> None:
    account = credentials.label_studio()
    assert credentials.label_studio() == account
    assert len(account.api_key) == 40
    assert int(account.api_key, 16)
    assert stat.S_IMODE((home / "credentials").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["credentials"]


def test_do_not_show_in_a_repr(home: Path) -> None:
    account = credentials.label_studio()
    assert account.api_key not in repr(account)
    assert str(account.password) not in repr(account)


def test_processes_that_begin_at_once_agree(home: Path) -> None:
    # each waits for the line, so that all of them look for the file in the same moment
    code = (
        "import sys; from ml_assets.state.credentials import label_studio; sys.stdin.readline(); print(label_studio().api_key)"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    keys = {racer.communicate(timeout=30)[0] for racer in racers}
    assert keys == {credentials.label_studio().api_key + "\n"}


def test_of_an_existing_server_come_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://labels.example")
    with pytest.raises(ValueError, match=r"LABEL_STUDIO_URL=https://labels\.example needs LABEL_STUDIO_API_KEY"):
        credentials.label_studio()
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "a-key")
    assert credentials.label_studio() == credentials.LabelStudioAccount(api_key="a-key")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"label_studio_password": "hush"}'])
def test_a_damaged_file_is_one_sentence_that_does_not_tell_it(home: Path, content: str) -> None:
    (home / "credentials").write_text(content)
    with pytest.raises(ValueError, match="credentials is damaged") as raised:
        credentials.label_studio()
    assert "hush" not in str(raised.value)
    assert (home / "credentials").read_text() == content
