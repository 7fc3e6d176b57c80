"""The commands as people type them: help everywhere, one sentence for what is wrong, exit codes that are earned."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from installation import free_port

from ml_assets.demo import EXAMPLES
from ml_assets.orchestration import examples

COMMANDS = ["demo", "up", "down", "status", "new", "invite", "run", "predict", "rejects", "trace", "keys"]
ML_ASSETS = str(Path(sys.executable).with_name("ml-assets"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    ports = {f"ML_ASSETS_{name}_PORT": "1" for name in ("DAGSTER", "LABEL_STUDIO", "MLFLOW", "ENDPOINT", "EXPLORER")}
    elsewhere = ("MLFLOW_TRACKING_URI", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY")
    return {
        **{name: value for name, value in os.environ.items() if name not in elsewhere},
        "ML_ASSETS_HOME": str(tmp_path / "home"),
        "ML_ASSETS_DEFS": str(tmp_path / "defs"),
        "COLUMNS": "120",
        **ports,
    }


def command(environment: dict[str, str], *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([ML_ASSETS, *arguments], env=environment, input=text, capture_output=True, text=True, timeout=120)


def test_help_lists_what_works(environment: dict[str, str]) -> None:
    done = command(environment, "--help")
    assert done.returncode == 0
    listed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and line[2:3].islower()]
    assert [name for name in listed if name in COMMANDS] == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(environment: dict[str, str], name: str) -> None:
    done = command(environment, name, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nothing"], "unknown project 'nothing': none is declared yet"),
        (["run", "mails", "train"], "unknown stage 'train': choose one of collection, labeling,"),
        (["new", "Big"], "'Big' cannot be a project's name"),
        (["new", "../up"], "'../up' cannot be a project's name"),
        (["rejects", "nothing"], "unknown project 'nothing'"),
        (["trace", "abc"], "no prediction 'abc' in any project"),
        (["predict", "nothing", "text"], "unknown project 'nothing'"),
        (["keys", "add", "nothing", "--scope", "predict"], "unknown project 'nothing'"),
        (["keys", "revoke", "abc"], "abc"),
        (["keys", "list", "nothing"], "unknown project 'nothing'"),
        (["invite", "nothing", "a@b.example"], "unknown project 'nothing'"),
    ],
)
def test_mistakes_get_one_sentence(environment: dict[str, str], arguments: list[str], sentence: str) -> None:
    done = command(environment, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_version_is_told_and_a_misspelt_name_corrected(environment: dict[str, str], tmp_path: Path) -> None:
    assert command(environment, "--version").stdout.startswith("ml-assets 0.")
    assert "--install-completion" in command(environment, "--help").stdout
    assert "Did you mean 'predict'" in command(environment, "predct").stderr.replace("│", "")
    (tmp_path / "defs" / "mails").mkdir(parents=True)
    (tmp_path / "defs" / "mails" / "defs.yaml").write_text("x")
    assert (
        "unknown project 'mail': choose one of mails; did you mean 'mails'?" in command(environment, "rejects", "mail").stderr
    )


def test_a_new_home_says_how_to_begin(environment: dict[str, str]) -> None:
    told = command(environment, "status").stdout
    assert "no project yet: `ml-assets demo` runs an example, `ml-assets new NAME` begins one of your own" in told
    assert "'digits' is the name of an example" in command(environment, "new", "digits").stderr


def test_every_example_can_be_named() -> None:
    assert set(examples.NAMES) == set(EXAMPLES)
    assert json.loads(command({**os.environ, "ML_ASSETS_HOME": "/nowhere"}, "status", "--json").stdout)["home"] == "/nowhere"


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "--nonsense"], ["keys", "add", "p"]])
def test_wrong_usage_is_told(environment: dict[str, str], arguments: list[str]) -> None:
    done = command(environment, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Usage" in done.stderr


def test_a_new_project_loads_and_is_never_overwritten(environment: dict[str, str], tmp_path: Path) -> None:
    assert command(environment, "new", "mails").returncode == 0
    path = tmp_path / "defs" / "mails" / "defs.yaml"
    assert "$ML_ASSETS_HOME/data/mails/" in path.read_text()
    status = command(environment, "status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout)["projects"]["mails"]["samples"] == 0
    path.write_text("mine")
    again = command(environment, "new", "mails")
    assert again.returncode == 1
    assert "there is a project 'mails' already" in again.stderr
    assert path.read_text() == "mine"
    broken = json.loads(command(environment, "status", "--json").stdout)["projects"]["mails"]
    assert "mails/defs.yaml:1:" in broken["broken"]


@pytest.mark.parametrize(
    "arguments", [["run", "mails"], ["up"], ["keys", "add", "mails", "--scope", "predict"], ["predict", "mails", "a"]]
)
def test_a_home_that_cannot_be_written_is_one_sentence(
    environment: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    """Below a file: that even root cannot write."""
    command(environment, "new", "mails")
    (tmp_path / "file").write_text("")
    ports = {name: str(free_port()) for name in environment if name.startswith("ML_ASSETS_") and name.endswith("_PORT")}
    done = command({**environment, **ports, "ML_ASSETS_HOME": str(tmp_path / "file" / "home")}, *arguments)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(f"error: {tmp_path}/file/home")
    assert said.endswith("cannot be used: not a directory; ML_ASSETS_HOME names another folder")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == ""


def test_a_narrow_terminal_shows_a_long_problem_whole(environment: dict[str, str], tmp_path: Path) -> None:
    command(environment, "new", "mails")
    path = tmp_path / "defs" / "mails" / "defs.yaml"
    path.write_text(path.read_text().replace("[first class, second class]", "[/one]"))
    told = command({**environment, "COLUMNS": "40"}, "status")
    assert told.returncode == 0
    assert "mails: defs/mails/defs.yaml:15: labeling.task.classes: needs at least 2, has 1" in told.stdout.splitlines()


def test_missing_example_data_says_how_to_get_them(environment: dict[str, str]) -> None:
    done = command({k: v for k, v in environment.items() if k != "ML_ASSETS_DEFS"}, "run", "newsgroups", "collection")
    assert done.returncode == 1
    assert "train.csv: `ml-assets demo` fetches it" in done.stderr


def test_the_demo_looks_for_its_ports_before_it_fetches_anything(environment: dict[str, str], tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in environment if name.startswith("ML_ASSETS_") and name.endswith("_PORT")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(ports["ML_ASSETS_EXPLORER_PORT"])))
        taken.listen()
        bare = {k: v for k, v in {**environment, **ports}.items() if k != "ML_ASSETS_DEFS"}
        done = command(bare, "demo", "--once")
    assert done.returncode == 1
    assert f"port {ports['ML_ASSETS_EXPLORER_PORT']} for explorer is taken by another program" in done.stderr
    assert not (tmp_path / "home" / "data").exists()


def test_run_without_servers_fails_with_a_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    command(environment, "new", "mails")
    folder = tmp_path / "home" / "data" / "mails"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("text\none mail\nanother mail\n")
    done = command(environment, "run", "mails", "collection", "labeling", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["materialized"] == ["mails/samples"]
    assert "Traceback" not in done.stderr


def test_keys_are_shown_once_and_can_be_revoked(environment: dict[str, str], tmp_path: Path) -> None:
    command(environment, "new", "mails")
    made = command(environment, "keys", "add", "mails", "--scope", "predict", "--name", "shop")
    secret = made.stdout.strip()
    assert secret.startswith("mla_")
    listed = json.loads(command(environment, "keys", "list", "--json").stdout)
    assert [(k["project"], k["name"], k["scopes"]) for k in listed] == [("mails", "shop", ["predict"])]
    assert secret not in (tmp_path / "home" / "keys.json").read_text()
    assert (tmp_path / "home" / "keys.json").stat().st_mode & 0o077 == 0
    assert command(environment, "keys", "revoke", listed[0]["id"]).returncode == 0
    assert json.loads(command(environment, "keys", "list", "--json").stdout) == []


def test_keys_say_for_whom_they_speak_and_take_no_name_of_others(environment: dict[str, str]) -> None:
    command(environment, "new", "mails")
    command(environment, "keys", "add", "mails", "--scope", "label", "--name", "café", "--speaks-for", "anna@example.org")
    [listed] = json.loads(command(environment, "keys", "list", "--json").stdout)
    assert (listed["name"], listed["speaks_for"]) == ("café", ["anna@example.org"])
    for name in ("published", "anna@example.org", "a\nb", "x" * 101, " "):
        done = command(environment, "keys", "add", "mails", "--scope", "label", "--name", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot" in done.stderr
        assert "Traceback" not in done.stderr


def test_keys_refuse_an_unknown_scope(environment: dict[str, str]) -> None:
    command(environment, "new", "mails")
    done = command(environment, "keys", "add", "mails", "--scope", "everything")
    assert done.returncode == 1
    assert "choose" in done.stderr


def test_a_command_in_the_background_of_a_script_can_be_ended() -> None:
    """Scripts start such commands with interrupts ignored, and what Dagster starts would inherit that."""
    seen = (
        "import signal; from ml_assets.state.interrupts import unignore; unignore(); "
        "print(signal.getsignal(signal.SIGINT).__name__)"
    )
    done = subprocess.run(
        ["bash", "-c", 'trap \'\' INT; exec "$0" -c "$1"', sys.executable, seen], capture_output=True, text=True, check=True
    )
    assert done.stdout == "default_int_handler\n"
