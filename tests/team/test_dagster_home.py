"""`DAGSTER_POSTGRES_URL` moves Dagster's storage; what does not fit together is one sentence."""

import subprocess
from pathlib import Path

import pytest
import yaml
from installation import free_port

from ml_assets.services.catalogue import servers
from ml_assets.services.dagster_home import DagsterHomeError, environment, prepare_dagster_home, with_driver

from .conftest import COMMAND
from .postgres import Postgres


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `dagster.yaml` of an empty home."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    return tmp_path / "dagster" / "dagster.yaml"


def test_without_the_variable_it_stays_sqlite(settings: Path) -> None:
    assert prepare_dagster_home() == settings.parent
    assert "storage" not in yaml.safe_load(settings.read_text())
    settings.write_text("# mine\n")
    prepare_dagster_home()
    assert settings.read_text() == "# mine\n"


def test_a_storage_is_added_once_and_the_rest_stays_as_it_is(
    settings: Path, databases: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_dagster_home()
    settings.write_text("# mine\nconcurrency: {runs: {max_concurrent_runs: 9}}")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", databases.url("postgres"))
    for _ in range(2):
        prepare_dagster_home()
        assert settings.read_text().startswith("# mine\nconcurrency: {runs: {max_concurrent_runs: 9}}\n")
        assert yaml.safe_load(settings.read_text())["storage"] == {
            "postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}
        }
        assert settings.read_text().count("storage:") == 1
    assert databases.password not in settings.read_text()


def test_a_forgotten_variable_does_not_split_the_history(
    settings: Path, databases: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DAGSTER_POSTGRES_URL", databases.url("postgres"))
        prepare_dagster_home()
    with pytest.raises(
        DagsterHomeError, match="at DAGSTER_POSTGRES_URL, which is not set: set it, or take out `storage` there"
    ):
        prepare_dagster_home()
    settings.write_text("\n".join(settings.read_text().split("\n# added")[:1]))
    prepare_dagster_home()


@pytest.mark.parametrize(
    ("written", "sentence"),
    [("storage: {sqlite: {base_dir: /data}}", "names another storage: take out one of the two"), ("a: [", "is no YAML")],
)
def test_a_file_that_does_not_fit_is_left_alone(
    settings: Path, databases: Postgres, monkeypatch: pytest.MonkeyPatch, written: str, sentence: str
) -> None:
    prepare_dagster_home()
    settings.write_text(written)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", databases.url("postgres"))
    with pytest.raises(DagsterHomeError, match=sentence):
        prepare_dagster_home()
    assert settings.read_text() == written


@pytest.mark.parametrize("wrong", ["password", "database", "port"])
def test_a_database_that_cannot_be_used_is_one_sentence_without_its_password(
    settings: Path, databases: Postgres, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    url = {
        "password": databases.url("postgres").replace(databases.password, "wrong-one"),
        "database": databases.url("no_such"),
        "port": Postgres(free_port(), databases.password).url("postgres"),
    }[wrong]
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    sentences = {"password": "password authentication failed", "database": "does not exist", "port": "Connection refused"}
    with pytest.raises(DagsterHomeError, match=rf"^DAGSTER_POSTGRES_URL: .*{sentences[wrong]}") as raised:
        prepare_dagster_home()
    assert databases.password not in str(raised.value)
    assert "wrong-one" not in str(raised.value)
    assert "\n" not in str(raised.value)
    done = subprocess.run([COMMAND, "run", "newsgroups"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert f"error: {raised.value}"[:60] in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_as_people_write_it_gets_its_driver(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2"):
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", f"{scheme}://u:p@db/dagster")
        assert environment()["DAGSTER_POSTGRES_URL"] == "postgresql+psycopg2://u:p@db/dagster"
    assert with_driver("sqlite:////tmp/x.db") == "sqlite:////tmp/x.db"


def test_no_server_takes_a_database_from_its_command_line(
    settings: Path, databases: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", databases.url("mlflow"))
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", "s3://bucket/artifacts")
    mlflow = servers()["mlflow"]
    assert databases.password not in " ".join(mlflow.command)
    assert mlflow.environment()["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg2://team:")
    assert mlflow.environment()["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://bucket/artifacts"
