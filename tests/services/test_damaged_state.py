"""A state file of the servers that is damaged, empty or full of zeros is one sentence or put right, never a traceback."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from ml_assets.commands import predict
from ml_assets.services import dagster_home, supervisor
from ml_assets.services.catalogue import servers
from ml_assets.services.state import ServiceState, State

DAMAGED = [b"", b"\0" * 4096, b"{", b"[]", b"null", b"5", b'"a"', b"\xff\xfe\x00", b'{"pid": 1}', b'{"services": []}']


@pytest.mark.parametrize(
    "content",
    [
        *DAMAGED,
        b'{"pid": "a", "created": 1.0, "settings": "", "services": {}}',
        b'{"pid": 1, "created": null, "settings": "", "services": {}}',
        b'{"pid": 1, "created": 1.0, "settings": "", "services": {"mlflow": "ready"}}',
        b'{"pid": 1, "created": 1.0, "settings": "", "services": {"mlflow": {"state": "ready", "pid": "x"}}}',
        b'{"pid": -1, "created": 1.0, "settings": "", "services": {"mlflow": {"state": "ready", "pid": -5}}}',
        b'{"pid": 99999999999999999999, "created": 1.0, "settings": "", "services": {"mlflow": {"pid": 99999999999999999999}}}',
    ],
)
def test_a_damaged_state_of_the_supervisor_is_none(home: Path, content: bytes) -> None:
    (home / "supervisor.json").write_bytes(content)
    assert not any(status.ready for status in supervisor.status().values())
    supervisor.down()


def test_the_supervisor_writes_its_state_again_where_it_is_damaged(home: Path) -> None:
    state = State(os.getpid(), 1.5, "digest", {"mlflow": ServiceState("ready", 7, 1)})
    state.write()
    assert State.read() == state
    for content in DAMAGED:
        (home / "supervisor.json").write_bytes(content)
        state.restore()
        assert State.read() == state
    (home / "supervisor.json").unlink()
    state.restore()
    assert State.read() == state


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b" \n"])
def test_settings_of_dagster_in_which_nothing_stands_are_written_anew(home: Path, content: bytes) -> None:
    """Without them it would send telemetry, and run two runs of one project at a time."""
    settings = home / "dagster" / "dagster.yaml"
    settings.parent.mkdir()
    settings.write_bytes(content)
    dagster_home.prepare_dagster_home()
    assert yaml.safe_load(settings.read_text())["telemetry"] == {"enabled": False}
    assert (settings.parent / "dagster.yaml.damaged").read_bytes() == content


@pytest.mark.parametrize("content", [b"telemetry: {", b"\xff\xfe", b"a: \0"])
def test_settings_of_dagster_that_are_damaged_are_one_sentence(home: Path, content: bytes) -> None:
    settings = home / "dagster" / "dagster.yaml"
    settings.parent.mkdir()
    settings.write_bytes(content)
    with pytest.raises(dagster_home.DagsterHomeError, match=r"dagster.yaml is no YAML"):
        dagster_home.prepare_dagster_home()
    assert settings.read_bytes() == content


def test_an_empty_database_of_label_studio_is_begun_anew(home: Path) -> None:
    folder = home / "label_studio"
    folder.mkdir()
    (folder / "label_studio.sqlite3").touch()
    (folder / ".first-start-finished").touch()
    servers()["label_studio"].prepare()
    assert (folder / "label_studio.unfinished").exists()
    assert (folder / "label_studio.sqlite3").stat().st_size > 100_000, "as `make setup` left it"
    with closing(sqlite3.connect(folder / "label_studio.sqlite3")) as used:
        used.execute("PRAGMA user_version = 7")
    servers()["label_studio"].prepare()
    with closing(sqlite3.connect(folder / "label_studio.sqlite3")) as used:
        assert used.execute("PRAGMA user_version").fetchone() == (7,), "one in which something stands is left alone"


@pytest.mark.parametrize("content", [*DAMAGED[:7], b'{"letters": 5}', b'{"letters": null}'])
def test_damaged_keys_of_the_commands_are_one_sentence(home: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML_ASSETS_API_KEY", raising=False)
    (home / "command_keys.json").write_bytes(content)
    with pytest.raises(predict.EndpointError, match=r"command_keys.json is damaged: delete it"):
        predict.key("letters")
