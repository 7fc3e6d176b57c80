"""The whole loop with the real servers, from raw text to a traced prediction, and what people do to it afterwards."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from installation import wait_until
from playwright.sync_api import Browser

from ml_assets import settings
from ml_assets.commands.predict import call, key
from ml_assets.demo import annotators
from ml_assets.labeling.accounts import ensure_annotator
from ml_assets.labeling.connect import connect
from ml_assets.labeling.label_studio import Answer
from ml_assets.state import credentials
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.training.tracking import Tracker

from .conftest import Installation

SENSOR_SECONDS = 60
NOUNS = {
    "samples", "embeddings", "label_tasks", "annotations", "labels", "dataset", "dataset_report", "feature_set", "study",
    "model", "evaluation", "cross_predictions", "bento", "deployment", "batch_predictions", "inference_log", "profiles",
    "drift", "live_accuracy", "uncertain_predictions", "suggestions",
}  # fmt: skip


@pytest.fixture
def store(demo: Installation) -> ProjectStore:
    return ProjectStore("newsgroups")


def graphql(demo: Installation, query: str, **variables: Any) -> Any:
    answer = httpx.post(f"{demo.urls['dagster']}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def runs(demo: Installation) -> list[dict[str, Any]]:
    query = "{ runsOrError { ... on Runs { results { runId status pipelineName } } } }"
    return list(graphql(demo, query)["runsOrError"]["results"])


def runs_of_commands(demo: Installation) -> set[str]:
    """Runs that no sensor asked for."""
    query = "{ runsOrError { ... on Runs { results { runId tags { key } } } } }"
    found = graphql(demo, query)["runsOrError"]["results"]
    return {run["runId"] for run in found if any(tag["key"] == "ml_assets/pid" for tag in run["tags"])}


def test_every_stage_is_told_of(demo: Installation) -> None:
    for stage in ("collection", "labeling", "visualization", "features", "training", "deployment", "monitoring"):
        assert re.search(rf"✓ {stage} +\d+\.\d s", demo.said), demo.said


def test_served_model_is_good(demo: Installation) -> None:
    project = demo.json("status")["projects"]["newsgroups"]
    assert project["serving"]["metrics"]["macro_f1"] >= 0.90  # of a third of the posts
    low, high = project["serving"]["metrics"]["macro_f1_interval"]
    assert low < project["serving"]["metrics"]["macro_f1"] < high
    assert sum(project["labels"].values()) >= 1150
    assert project["last_day"]["predictions"] >= 200


def test_monitoring_noticed_the_strange_half(demo: Installation) -> None:
    assert demo.json("status")["projects"]["newsgroups"]["last_day"]["drift"]
    assert "check newsgroups/drift:not_drifted" in demo.said


def test_labels_are_of_annotators_and_published_ones_never_went_to_label_studio(
    demo: Installation, store: ProjectStore
) -> None:
    rows = store.table("annotations").read(["sample_id", "labeler", "labeler_kind", "origin"]).to_pylist()
    asked = [row for row in rows if row["origin"] == "label_studio"]
    assert len(asked) >= 400
    assert {row["labeler"] for row in asked if row["labeler_kind"] == "program"} == set(annotators.EMAILS)
    test = store.table("samples").ids("split = 'test'")
    assert {row["sample_id"] for row in rows if row["labeler"] == "published"} == test
    assert not store.table("label_tasks").ids() & test


def test_second_run_makes_nothing(demo: Installation) -> None:
    demo.command("run", "newsgroups")  # what sensors left to do
    before = runs_of_commands(demo)
    outcome = demo.json("run", "newsgroups")
    assert outcome["materialized"] == []
    assert set(outcome["up_to_date"]) == {f"newsgroups/{noun}" for noun in NOUNS}
    assert runs_of_commands(demo) == before


def test_lineage_of_the_deployment_reaches_the_samples(demo: Installation) -> None:
    query = "{ assetNodes { assetKey { path } dependencyKeys { path } } }"
    parents = {
        n["assetKey"]["path"][-1]: {d["path"][-1] for d in n["dependencyKeys"]} for n in graphql(demo, query)["assetNodes"]
    }
    found, waiting = set(), ["deployment"]
    while waiting:
        for parent in parents[waiting.pop()] - found:
            found.add(parent)
            waiting.append(parent)
    assert "samples" in found
    assert set(parents) >= NOUNS


def test_dagster_page_shows_the_lineage(demo: Installation, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(f"{demo.urls['dagster']}/locations/ml_assets/asset-groups/newsgroups/lineage")
    for noun in ("samples", "deployment"):
        page.get_by_text(noun, exact=True).first.wait_for(timeout=60_000)
    page.close()


def test_report_page_shows_the_dataset(demo: Installation, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{demo.urls['explorer']}/newsgroups/")
    page.get_by_text("comp.graphics").first.wait_for(timeout=30_000)
    page.close()


def test_one_click_deploys(demo: Installation, store: ProjectStore) -> None:
    query = """mutation ($selector: JobOrPipelineSelector!) {
      launchPipelineExecution(executionParams: {selector: $selector, mode: "default"}) {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
    selector = {"repositoryLocationName": "ml_assets", "repositoryName": "__repository__", "pipelineName": "deploy_newsgroups"}
    launched = graphql(demo, query, selector=selector)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]

    def status() -> str:
        return next(str(run["status"]) for run in runs(demo) if run["runId"] == run_id)

    wait_until(lambda: status() in ("SUCCESS", "FAILURE", "CANCELED"), 120)
    assert status() == "SUCCESS"
    assert store.table("deployments").count("state = 'live'") == 1


def test_mlflow_has_nested_trials_moving_curves_and_no_pickle(demo: Installation, store: ProjectStore) -> None:
    tracker = Tracker("newsgroups")
    study = store.table("studies").read().to_pylist()[-1]
    trials = json.loads(study["trials"])
    assert len(trials) == 3
    for trial in trials:
        run = tracker.client.get_run(trial["run_id"])
        assert run.data.tags["mlflow.parentRunId"]
        curve = [point.value for point in tracker.client.get_metric_history(trial["run_id"], "train_loss")]
        assert len(curve) > (1 if trial["ended"] == "pruned" else 10)
        assert curve[-1] < curve[0]
    model = store.table("models").read().to_pylist()[-1]
    tags = tracker.client.get_run(model["run_id"]).data.tags
    assert tags["dataset"] == model["dataset"]
    champion = tracker.client.get_model_version_by_alias("newsgroups", "champion")
    assert f"newsgroups-{champion.version}" == demo.json("status")["projects"]["newsgroups"]["serving"]["model"]
    stored = [path.name for path in (demo.home / "mlflow").rglob("*") if path.is_file()]
    assert "model.safetensors" in stored
    assert not [name for name in stored if name.endswith((".pkl", ".pickle", ".pt", ".joblib"))]


def test_profile_is_readable_with_whylogs(demo: Installation, store: ProjectStore) -> None:
    from ml_assets.monitoring import profiles

    row = store.table("profiles").read(where="day IS NOT NULL").to_pylist()[0]
    profiles.read(row["profile"])  # puts the numpy shim in place
    from whylogs.core import DatasetProfileView

    view = DatasetProfileView.deserialize(row["profile"])
    assert view.get_column("confidence").to_summary_dict()["counts/n"] == row["rows"]


def test_a_prediction_traces_back_to_its_annotators(demo: Installation, store: ProjectStore) -> None:
    answer = demo.json("predict", "newsgroups", "the shuttle reached orbit and the crew deployed a satellite")
    assert answer["predictions"][0]["label"] == "sci.space"
    trace = demo.json("trace", answer["predictions"][0]["id"])
    assert trace["model"]["id"] == answer["model"]
    assert trace["run_id"] == store.table("models").take([answer["model"]]).to_pylist()[0]["run_id"]
    assert trace["dataset"] in store.table("dataset").tags()
    assert trace["bento"].startswith("newsgroups:")
    labelers = {a["labeler"] for near in trace["neighbours"] for a in near["annotations"]}
    assert labelers
    assert labelers <= set(annotators.EMAILS)
    assert all(near["origin"].endswith(".csv#" + near["origin"].rsplit("#", 1)[1]) for near in trace["neighbours"])


def test_a_label_in_label_studio_makes_a_dataset_by_sensor_alone(demo: Installation, store: ProjectStore) -> None:
    task = settings.load("newsgroups").labeling.task
    email, password = next(iter(annotators.logins().items()))
    client = ensure_annotator(connect(), email, password)
    answered = set(store.table("annotations").read(["sample_id"], "deleted = false")["sample_id"].to_pylist())
    waiting = [row for row in store.table("label_tasks").read().to_pylist() if row["id"] not in answered]
    assert waiting, "monitoring sent nothing back to people"
    sample, task_id = waiting[0]["id"], waiting[0]["task_id"]

    def in_dataset() -> str | None:
        tags = store.table("dataset").tags()
        rows = store.table("dataset").read(where=f"id = '{sample}'", tag=tags[-1]).to_pylist()
        return rows[0]["value"] if rows else None

    def becomes(value: str | None, act: Callable[[], Any]) -> None:
        act()
        began = time.monotonic()
        wait_until(lambda: in_dataset() == value, SENSOR_SECONDS)
        print(f"{value} after {time.monotonic() - began:.1f} s")

    becomes("sci.space", lambda: client.add_annotations([Answer(task_id, task.to_label_studio("sci.space"), 2.0)]))
    headers = {"Authorization": f"Token {credentials.label_studio().api_key}"}
    address = f"{demo.urls['label_studio']}/api/tasks/{task_id}/annotations"
    annotation = httpx.get(address, headers=headers).json()[0]["id"]
    one = f"{demo.urls['label_studio']}/api/annotations/{annotation}/"
    becomes(
        "sci.med",
        lambda: httpx.patch(one, json={"result": task.to_label_studio("sci.med")}, headers=headers).raise_for_status(),
    )
    becomes(None, lambda: httpx.delete(one, headers=headers).raise_for_status())


def test_a_pushed_sample_is_collected_by_sensor_alone(demo: Installation, store: ProjectStore) -> None:
    text = "Somebody pushed this sentence about hockey playoffs to the collection API."
    for _ in range(2):
        call("newsgroups", "samples", {"samples": [text]}, key("newsgroups"))
    wait_until(lambda: store.table("samples").count(f"id = '{content_id('text', text)}'") == 1, 2 * SENSOR_SECONDS)
    assert store.table("samples").take([content_id("text", text)], ["source"])["source"].to_pylist() == ["upload"]


def test_an_invited_annotator_can_log_in(demo: Installation) -> None:
    login = demo.json("invite", "newsgroups", "invited@localhost.example")
    with httpx.Client(base_url=demo.urls["label_studio"], follow_redirects=False) as visitor:
        form = visitor.get("/user/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token
        fields = {"email": login["email"], "password": login["password"], "csrfmiddlewaretoken": token.group(1)}
        assert visitor.post("/user/login/", data=fields, headers={"Referer": demo.urls["label_studio"]}).status_code == 302
        assert visitor.get("/api/current-user/whoami").json()["email"] == login["email"]


def test_vectors_are_computed_once(demo: Installation, store: ProjectStore) -> None:
    modality = settings.load("newsgroups").collection.modality
    encoder = modality.encoder("minilm")
    table = store.embeddings("minilm", encoder.dimensions)
    wait_until(lambda: table.count() == store.table("samples").count(), SENSOR_SECONDS)  # a sensor's run may be at it
    rows = table.read()
    assert len(set(rows["id"].to_pylist())) == rows.num_rows == store.table("samples").count()
    norms = np.linalg.norm(np.array(rows["vector"].to_pylist()), axis=1)
    assert np.allclose(norms, 1, atol=0.02)
