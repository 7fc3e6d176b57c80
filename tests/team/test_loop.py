"""The whole loop on PostgreSQL and S3, by settings alone; nothing of it is left on the local disk but what belongs there."""

from pathlib import Path
from typing import Any

import pytest
from installation import processes_of, wait_until

from ml_assets import settings
from ml_assets.labeling.accounts import ensure_annotator
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import Answer
from ml_assets.state.lock import project_lock
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task

from .conftest import Team
from .object_store import ObjectStore
from .postgres import Postgres
from .topics import answers

ASSETS = 21
SENSOR_SECONDS = 240


@pytest.fixture(scope="module")
def loop(team: Team) -> dict[str, Any]:
    """What the run says that made everything, and the answer of the endpoint."""
    store, right = ProjectStore("topics"), answers()
    # the sensor for new files sees the bucket, and its run fills the queue
    wait_until(lambda: store.table("label_tasks").count("task_id IS NOT NULL") == len(right), SENSOR_SECONDS)
    texts = store.table("samples").read(["id", "text"]).to_pylist()
    task = settings.read(Path(team.environment["ML_ASSETS_DEFS"]) / "topics" / "defs.yaml").labeling.task
    with project_lock("topics").acquire(timeout=SENSOR_SECONDS):  # the sensor pulls them all at once
        labelled = label(store, task, {row["id"]: right[row["text"]] for row in texts})
    made = team.json("run", "topics", "--wait", "240")
    predicted = team.json("predict", "topics", "Boil the spinach.", "The referee stopped the game.")
    watched = team.json("run", "topics", "--wait", "240")
    return {"samples": len(texts), "labelled": labelled, "made": made, "predicted": predicted, "watched": watched}


def label(store: ProjectStore, task: Task, right: dict[str, str]) -> int:
    """Two annotators with accounts of their own answer every other task each; how many annotations they made."""
    people = [ensure_annotator(connect(), f"{name}@example.org", "a good password") for name in ("ann", "bob")]
    tasks = store.table("label_tasks").read(["id", "task_id"]).to_pylist()
    written = [Answer(row["task_id"], task.to_label_studio(right[row["id"]])) for row in tasks]
    return sum(person.add_annotations(written[start :: len(people)]) for start, person in enumerate(people))


def test_the_loop_runs_to_a_traced_prediction(team: Team, loop: dict[str, Any]) -> None:
    assert loop["samples"] == loop["labelled"] == len(answers())
    store = ProjectStore("topics")
    assert store.table("deployments").count("state = 'live'") == 1
    assert store.table("labels").count("value IS NOT NULL") == len(answers())
    assert [p["label"] for p in loop["predicted"]["predictions"]] == ["cooking", "football"]
    assert "topics/inference_log" in loop["watched"]["materialized"]
    assert store.table("inference_log").count() == 2
    traced = team.json("trace", loop["predicted"]["predictions"][0]["id"])
    assert traced["neighbours"][0]["label"] == "cooking"


def test_a_second_run_makes_nothing(team: Team, loop: dict[str, Any]) -> None:
    again = team.json("run", "topics", "--wait", "240")
    assert again["materialized"] == []
    assert len(again["up_to_date"]) == ASSETS


def test_what_the_servers_know_is_in_postgresql(databases: Postgres, loop: dict[str, Any]) -> None:
    [[runs]] = databases.query("dagster", "SELECT count(*) FROM runs WHERE status = 'SUCCESS'")
    [[materialised]] = databases.query("dagster", "SELECT count(*) FROM asset_keys WHERE last_materialization IS NOT NULL")
    assert runs >= 5
    assert materialised == ASSETS
    [[schedules]] = databases.query("dagster", "SELECT count(*) FROM job_ticks")
    assert schedules > 0
    assert ("topics",) in databases.query("mlflow", "SELECT name FROM experiments")
    assert ("topics",) in databases.query("mlflow", "SELECT name FROM registered_models")
    [[curve]] = databases.query("mlflow", "SELECT count(*) FROM metrics WHERE key = 'train_loss'")
    assert curve > 1
    assert databases.query("label_studio", "SELECT count(*) FROM task") == [(len(answers()),)]
    people = "SELECT count(*), count(DISTINCT completed_by_id) FROM task_completion"
    assert databases.query("label_studio", people) == [(len(answers()), 2)]


def test_tables_and_models_are_objects(objects: ObjectStore, loop: dict[str, Any]) -> None:
    keys = objects.keys()
    for noun in ("samples", "annotations", "labels", "dataset", "models", "deployments", "inference_log"):
        assert any(key.startswith(f"tables/topics/{noun}.lance/data/") for key in keys), noun
    assert "tables/topics/label_studio.json" in keys
    assert [key for key in keys if key.startswith("artifacts/") and key.endswith("model.safetensors")]


def test_nothing_is_in_local_databases_or_tables(team: Team, loop: dict[str, Any]) -> None:
    files = [path for path in team.home.rglob("*") if path.is_file()]
    assert not [path for path in files if path.read_bytes()[:16] == b"SQLite format 3\0" or ".lance" in str(path)]
    assert not (team.home / "store").exists()
    assert not [path for path in files if path.name == "model.safetensors" and "bentoml" not in path.parts]


def test_secrets_stand_in_no_process_list_and_no_log(team: Team, databases: Postgres, loop: dict[str, Any]) -> None:
    secrets = (databases.password, team.environment["AWS_SECRET_ACCESS_KEY"])
    processes = processes_of(team.home)
    assert len(processes) > 5
    assert not [p.cmdline() for p in processes if any(secret in part for secret in secrets for part in p.cmdline())]
    told = [
        path for path in team.home.rglob("*") if path.is_file() and path.suffix in (".log", ".json", ".yaml", ".out", ".err")
    ]
    assert {"dagster.log", "mlflow.log", "label_studio.log", "dagster.yaml"} <= {path.name for path in told}
    assert not [path for path in told if any(secret in path.read_text(errors="replace") for secret in secrets)]
