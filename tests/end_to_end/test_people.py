"""What people do and see in a browser: an annotator in Label Studio, who builds the pipeline in Dagster, who trains in MLflow.

These tests come after those of the loop, and each after the one above it: the annotator's answers make the newer model that is
deployed by one click.
"""

import csv
import re
from collections.abc import Iterator
from typing import Any

import pytest
from installation import wait_until
from playwright.sync_api import Browser, Locator, Page, expect

from ml_assets.demo import newsgroups
from ml_assets.store import ProjectStore, ledger
from ml_assets.training.tracking import Tracker

from .conftest import Installation

EMAIL, PASSWORD = "ann@localhost.example", "a good password"
PAGE_SECONDS = 120
SENSOR_SECONDS = 180
expect.set_options(timeout=1000 * PAGE_SECONDS)
RUN_SECONDS = 180
VIEWPORT: Any = {"width": 1600, "height": 1000}
EPOCHS = 1000  # some ten seconds
WATCHED = """\
type: ml_assets.project.MLProject
attributes:
  collection:
    modality: text
    sources:
      - {type: table, name: posts, path: $ML_ASSETS_HOME/data/watched/posts.csv, label: category, labeler: published}
  labeling:
    task: {type: single_choice, classes: [rec.autos, sci.space]}
  training:
    architecture: {type: mlp, epochs: EPOCHS, batch_size: 16}
    prune: false
    trials: 1000 # it goes on until somebody stops it
""".replace("EPOCHS", str(EPOCHS))


@pytest.fixture
def store(demo: Installation) -> ProjectStore:
    return ProjectStore("newsgroups")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a visitor whom no server knows yet."""
    context = browser.new_context(viewport=VIEWPORT)
    context.set_default_timeout(1000 * PAGE_SECONDS)
    yield context.new_page()
    context.close()


# ---- the annotator ----


def test_an_invited_annotator_labels_edits_and_deletes(
    demo: Installation, store: ProjectStore, browser: Browser, page: Page
) -> None:
    invitation = demo.json("invite", "newsgroups")
    with browser.new_page() as other:  # with cookies of its own: on the page below nobody is logged in
        other.goto(invitation["link"])
        other.locator("input[name=email]").fill(EMAIL)
        other.locator("input[name=password]").fill(PASSWORD)
        other.get_by_role("button", name="Create Account").click()
        other.wait_for_url(lambda url: "/user/signup" not in url)

    page.goto(invitation["url"])
    page.locator("input[name=email]").fill(EMAIL)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Label All Tasks").click()

    question = page.get_by_text("Which newsgroup was this written to?")
    question.wait_for()
    clicked = annotate(page, "sci.med", lambda: choice(page, "sci.med").click())
    by_hotkey = annotate(page, "sci.space", lambda: page.keyboard.press("5"), "Control+Enter")
    arrives(store, {clicked: "sci.med", by_hotkey: "sci.space"})

    page.goto(f"{invitation['url']}?task={clicked}")
    choice(page, "sci.space").click()
    with page.expect_response(lambda r: r.request.method == "PATCH" and "/api/annotations/" in r.url):
        page.get_by_role("button", name="submit", exact=True).click()
    arrives(store, {clicked: "sci.space", by_hotkey: "sci.space"})

    page.goto(f"{invitation['url']}?task={by_hotkey}")
    page.locator("[data-annotation-id] .lsf-annotation-button__trigger").first.click()
    page.get_by_text("Delete Annotation").click()
    with page.expect_response(lambda r: r.request.method == "DELETE" and "/api/annotations/" in r.url):
        page.get_by_role("button", name="Delete", exact=True).click()
    arrives(store, {clicked: "sci.space", by_hotkey: None})


def choice(page: Page, name: str) -> Locator:
    """A class that can be chosen."""
    return page.locator("label").filter(has_text=name)


def annotate(page: Page, name: str, choose: Any, submit: str | None = None) -> int:
    """Answer the task that is shown and submit, with the button or keys; the task's id once the next one is shown.

    What a model suggests is chosen already: it is left if it is right, and else another class is chosen.
    """
    ticked = page.get_by_role("checkbox", checked=True)
    right = choice(page, name).filter(has=ticked)
    expect(choice(page, name)).to_have_count(1)

    def is_chosen() -> bool:
        if right.count() == ticked.count() == 1:
            return True
        choose()
        try:
            expect(right).to_have_count(1, timeout=5000)
        except AssertionError:  # a key that came before the task's hotkeys were bound: whoever sits there presses it again
            return False
        return ticked.count() == 1

    wait_until(is_chosen, PAGE_SECONDS)
    with (
        page.expect_response(lambda r: r.request.method == "POST" and "next_task" in r.url) as following,
        page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url) as answer,
    ):
        page.keyboard.press(submit) if submit else page.get_by_role("button", name="Submit current annotation").click()
    lines = following.value.json()["data"]["content"].splitlines()
    expect(page.get_by_text(max(lines, key=len).strip()[:40]).first).to_be_visible()
    return int(answer.value.json()["task"])


def arrives(store: ProjectStore, answers: dict[int, str | None]) -> None:
    """Wait until the annotator's answers, and no others, are in all tables that follow; None for one that was taken back."""
    listed = ", ".join(map(str, answers))
    tasks = store.table("label_tasks").read(["id", "task_id"], f"task_id IN ({listed})").to_pylist()
    expected = {row["id"]: answers[row["task_id"]] for row in tasks}
    assert len(expected) == len(answers)
    known = {sample: value for sample, value in expected.items() if value is not None}
    samples = ", ".join(f"'{sample}'" for sample in expected)

    def annotations() -> dict[str, str]:
        rows = store.table("annotations").read(where=f"labeler = '{EMAIL}' AND deleted = false").to_pylist()
        return {row["sample_id"]: row["value"] for row in rows}

    def values(noun: str, tag: str | None = None) -> dict[str, str]:
        rows = store.table(noun).read(["id", "value"], f"id IN ({samples})", tag).to_pylist()
        return {row["id"]: row["value"] for row in rows}

    wait_until(lambda: annotations() == known, SENSOR_SECONDS)
    wait_until(lambda: values("labels") == known, SENSOR_SECONDS)
    wait_until(lambda: values("dataset", store.table("dataset").tags()[-1]) == known, SENSOR_SECONDS)


# ---- who builds the pipeline ----


def test_lineage_leads_from_the_deployment_to_the_samples(demo: Installation, page: Page) -> None:
    page.goto(f"{demo.urls['dagster']}/locations/ml_assets/asset-groups/newsgroups/lineage")
    for noun in ("samples", "deployment", "batch_predictions"):
        expect(page.get_by_text(noun, exact=True).first).to_be_visible()
    page.set_viewport_size({"width": 9600, "height": 1600})  # what is outside is not drawn
    page.goto(f"{demo.urls['dagster']}/assets/newsgroups/deployment?view=lineage&lineageScope=upstream")
    page.get_by_role("button", name="All", exact=True).click()
    for noun in ("bento", "evaluation", "model", "study", "feature_set", "dataset", "labels", "annotations", "label_tasks",
                 "embeddings", "samples"):  # fmt: skip
        expect(page.get_by_text(noun, exact=True).first).to_be_visible()
    expect(page.get_by_text("batch_predictions", exact=True)).to_have_count(0)


def test_report_is_on_its_asset_page_and_in_the_explorer(demo: Installation, page: Page) -> None:
    page.goto(f"{demo.urls['dagster']}/assets/newsgroups/dataset_report")
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.get_by_role("img", name="labels per class")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    page.get_by_role("button", name="Close").click()

    address = f"{demo.urls['explorer']}/newsgroups/"
    expect(page.get_by_role("link", name=address)).to_have_attribute("href", address)

    page.goto(demo.urls["explorer"])
    page.get_by_role("link", name="newsgroups").click()
    page.wait_for_url(address)

    def names_the_annotator() -> bool:
        page.goto(address)
        expect(page.get_by_role("link", name="comp.graphics")).to_be_visible()
        return page.get_by_role("link", name=EMAIL).is_visible()

    wait_until(names_the_annotator, SENSOR_SECONDS)  # the report follows the labels by itself


def test_one_click_deploys_a_newer_model(demo: Installation, store: ProjectStore, page: Page) -> None:
    before = ledger.serving(store)
    assert before is not None
    launch(demo, page, "train_newsgroups")
    ends_well(page)
    assert ledger.serving(store) == before, "training deployed something"

    deployed = launch(demo, page, "deploy_newsgroups")
    ends_well(page)
    now = ledger.serving(store)
    assert now is not None
    assert (now.requested_by, now.state) == (f"run {deployed}", "live")
    assert now.model != before.model
    assert demo.json("predict", "newsgroups", "the shuttle reached orbit")["model"] == now.model
    page.goto(f"{demo.urls['dagster']}/assets/newsgroups/deployment")
    expect(page.get_by_text(now.id, exact=True).first).to_be_visible()


def launch(demo: Installation, page: Page, job: str) -> str:
    """Open the job's page, click *Materialize all*, and follow the link to the run; the run's id."""
    page.goto(f"{demo.urls['dagster']}/locations/ml_assets/jobs/{job}")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_role("link", name="View", exact=True).click()
    page.wait_for_url("**/runs/*")
    return page.url.rsplit("/", 1)[1]


def ends_well(page: Page) -> None:
    """Wait for the end of the run whose page is open."""
    ended = page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
    expect(ended).to_have_text("Success", timeout=1000 * RUN_SECONDS)


# ---- who trains ----


@pytest.fixture(scope="module")
def training(demo: Installation, browser: Browser) -> Iterator[str]:
    """A training run that goes on until it is stopped, of a project that was declared while everything runs; its id."""
    data = demo.home / "data" / "watched" / "posts.csv"
    data.parent.mkdir(parents=True)
    posts = newsgroups.read("train.csv")
    with data.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("category", "text"))
        for name in ("rec.autos", "sci.space"):
            writer.writerows([post for post in posts if post[0] == name][:60])
    (demo.defs / "watched").mkdir()
    (demo.defs / "watched" / "defs.yaml").write_text(WATCHED)
    demo.command("run", "watched", "collection", "labeling", "features")

    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(1000 * PAGE_SECONDS)
    page.goto(f"{demo.urls['dagster']}/deployment/locations")
    with page.expect_response(re.compile("op=ReloadRepositoryLocationMutation")):
        page.get_by_role("button").filter(has_text=re.compile("^Reload$")).click()
    run = launch(demo, page, "train_watched")
    yield run
    page.goto(f"{demo.urls['dagster']}/runs/{run}")
    page.get_by_role("button", name="Terminate").click()
    page.get_by_role("button", name="Terminate 1 run").click()
    expect(page.get_by_text("Canceled", exact=True).first).to_be_visible()
    page.close()


def test_log_of_a_training_run_is_live(demo: Installation, training: str, page: Page) -> None:
    page.goto(f"{demo.urls['dagster']}/runs/{training}")
    said = page.get_by_text(re.compile(r"(trial|epoch) \d+ of \d+: ")).last
    first = said.inner_text(timeout=1000 * RUN_SECONDS)
    expect(said).not_to_have_text(first, timeout=1000 * RUN_SECONDS)  # the page was not loaded again
    expect(page.get_by_text("Started", exact=True).first).to_be_visible()


def test_curves_move_on_the_mlflow_page(training: str, page: Page) -> None:
    tracker = Tracker("watched")

    def begun() -> list[str]:
        """Runs that have some points, and most of them still before them."""
        runs = tracker.client.search_runs([tracker.experiment_id], "attributes.status = 'RUNNING'")
        ids = [run.info.run_id for run in runs]
        return [i for i in ids if 5 < len(tracker.client.get_metric_history(i, "train_loss")) < EPOCHS // 3]

    wait_until(begun, RUN_SECONDS)
    address = tracker.run_url(begun()[0], "model-metrics")

    def last_epoch() -> int:
        """The right end of the curve that is drawn."""
        page.goto("about:blank")
        page.goto(address)
        page.get_by_placeholder("Search metric charts").fill("train_loss")
        chart = page.locator(".js-plotly-plot")
        expect(chart).to_have_count(1)
        expect(chart.locator("path.js-line").first).to_be_attached()
        return int(chart.evaluate("chart => Math.max(...chart.data.flatMap(line => Array.from(line.x)))"))

    first = last_epoch()
    assert first > 5
    wait_until(lambda: last_epoch() > first, RUN_SECONDS)
