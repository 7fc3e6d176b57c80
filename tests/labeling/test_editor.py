"""What people do in Label Studio's editor, in a real Chromium, for each label task and modality: it arrives as its value."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from ml_assets.labeling.label_studio import LabelStudio
from ml_assets.labeling.pull import pull
from ml_assets.labeling.queue import push_queue
from ml_assets.labeling.settings import LabelingSettings, QueueSettings
from ml_assets.modalities import Audio, Image, Mixed, Modality, Text
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.tasks import Boxes, MultipleChoice, SingleChoice, Spans, Task

from .animals import AT

SECONDS = 60
SENTENCE = "👩‍👩‍👧 Zoe\u0308 says 👍🏽: Ada Lovelace met Бобби in İzmir."
"""Emoji of several code points and combining characters stand before the names."""


@pytest.fixture
def page(browser: Browser, label_studio: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page of the owner, who is logged in; pictures and sounds go where the server reads them."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(label_studio.home))
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(1000 * SECONDS)
    made = context.new_page()
    made.goto(f"{label_studio.url}/user/login")
    made.locator("input[name=email]").fill(label_studio.email)
    made.locator("input[name=password]").fill(label_studio.password)
    made.get_by_role("button", name="Log in").click()
    made.wait_for_url(lambda url: "/user/login" not in url)
    yield made
    context.close()


def ask(store: ProjectStore, owner: LabelStudio, modality: Modality, task: Task, content: str | bytes, page: Page) -> None:
    """Put one sample into the queue and open it in the editor."""
    row = {
        "id": content_id(modality.type, content),
        modality.column: content,
        "source": "made",
        "split": "train",
        "collected_at": AT,
    }
    store.table("samples").upsert(rows("samples", [row]))
    settings = LabelingSettings(task=task, question="What is there?", queue=QueueSettings(size=5, strategy="random"))
    done = push_queue(store, owner, settings, modality, lambda ids: np.zeros((len(ids), 2), np.float32), AT)
    page.goto(f"{owner.url}/projects/{done.ls_project}/data?labeling=1")


def settled(shown: Locator) -> FloatRect:
    """Where it stands once the page around it has stopped moving: the same place for half a second."""
    places: list[FloatRect | None] = []
    while len(places) < 6 or places[-1] is None or any(place != places[-1] for place in places[-6:]):
        assert len(places) < 300, "the page does not come to rest"
        places.append(shown.bounding_box())
        shown.page.wait_for_timeout(100)
    return places[-1]


def submit(page: Page) -> None:
    """Press the button, and wait until the server has the answer."""
    with page.expect_response(lambda r: "/annotations" in r.url and r.request.method == "POST") as sent:
        page.get_by_role("button", name="Submit current annotation").click()
    assert sent.value.status == 201


def arrived(store: ProjectStore, owner: LabelStudio, task: Task) -> str:
    """The one value that came back."""
    project = store.table("label_tasks").read()["ls_project"][0].as_py()
    found = pull(store, owner, project, task)
    assert not found.invalid, found.invalid
    [row] = store.table("annotations").read().to_pylist()
    return str(row["value"])


def picture(width: int = 400, height: int = 200) -> bytes:
    from PIL import Image as Picture

    buffer = io.BytesIO()
    Picture.fromarray(np.full((height, width, 3), 180, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_tags_are_clicked(store: ProjectStore, owner: LabelStudio, page: Page) -> None:
    task = MultipleChoice(classes=("sunny", "windy", "cold"))
    ask(store, owner, Text(), task, "A cold and sunny day.", page)
    page.locator("label").filter(has_text="cold").click()
    page.locator("label").filter(has_text="sunny").click()
    submit(page)
    assert arrived(store, owner, task) == '["sunny", "cold"]'


@pytest.mark.parametrize(("name", "label"), [("Ada Lovelace", "person"), ("Бобби", "person"), ("İzmir", "place")])
def test_a_span_is_dragged(name: str, label: str, store: ProjectStore, owner: LabelStudio, page: Page) -> None:
    task = Spans(classes=("person", "place"))
    ask(store, owner, Text(), task, SENTENCE, page)
    expect(page.get_by_text("Ada Lovelace")).to_be_visible()
    page.keyboard.press(str(task.classes.index(label) + 1))
    first, last = page.evaluate(ENDS, name)
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move(*last, steps=8)
    page.mouse.up()
    submit(page)
    start = SENTENCE.index(name)
    assert task.answer(arrived(store, owner, task)) == [{"start": start, "end": start + len(name), "label": label}]


# where the first character of the name begins and its last one ends, in pixels of the page
ENDS = """name => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const at = walker.currentNode.data.indexOf(name);
    if (at < 0 || !walker.currentNode.parentElement.offsetParent) continue;
    const range = document.createRange();
    range.setStart(walker.currentNode, at);
    range.setEnd(walker.currentNode, at + name.length);
    const box = range.getBoundingClientRect();
    const y = box.top + box.height / 2;
    return [[box.left + 1, y], [box.right - 1, y]];
  }
}"""


def test_a_text_without_spans_is_an_answer(store: ProjectStore, owner: LabelStudio, page: Page) -> None:
    task = Spans(classes=("person", "place"))
    ask(store, owner, Text(), task, "Nobody is named here.", page)
    expect(page.get_by_text("Nobody is named here.")).to_be_visible()
    submit(page)
    assert arrived(store, owner, task) == "[]"


def test_a_box_is_drawn_on_a_picture(store: ProjectStore, owner: LabelStudio, page: Page) -> None:
    task = Boxes(classes=("cat", "dog"))
    ask(store, owner, Image(), task, picture(), page)
    shown = page.get_by_role("img", name="image", exact=True)
    expect(shown).to_be_visible()
    box = settled(shown)
    page.keyboard.press("2")
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=8)
    page.mouse.up()
    submit(page)
    [found] = task.answer(arrived(store, owner, task))
    assert found["label"] == "dog"
    assert [found[side] * size for side, size in (("x", 400), ("y", 200), ("width", 400), ("height", 200))] == pytest.approx(
        [100, 50, 200, 50], abs=2
    )


def test_all_parts_of_a_mixed_sample_are_seen(store: ProjectStore, owner: LabelStudio, page: Page) -> None:
    mixed = Mixed(parts={"body": "text", "photo": "image", "price": "number"})
    photo = base64.b64encode(picture()).decode()
    task = SingleChoice(classes=("sold", "kept"))
    with page.expect_response(lambda r: "local-files" in r.url) as loaded:
        ask(
            store,
            owner,
            mixed,
            task,
            mixed.decode(json.dumps({"body": "A <b>red</b> bicycle", "photo": photo, "price": 1250})),
            page,
        )
    assert loaded.value.status == 200
    for text in ("A <b>red</b> bicycle", "1,250", "price"):
        expect(page.get_by_text(text, exact=True)).to_be_visible()
    page.locator("label").filter(has_text="kept").click()
    submit(page)
    assert arrived(store, owner, task) == "kept"


def test_a_picture_and_a_sound_are_seen_and_heard_by_who_is_logged_in(
    store: ProjectStore, owner: LabelStudio, page: Page, label_studio: Any
) -> None:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(16_000) / 5).astype(np.float32), 8000, format="WAV")
    task = SingleChoice(classes=("high", "low"))
    with page.expect_response(lambda r: "local-files" in r.url) as loaded:
        ask(store, owner, Audio(), task, buffer.getvalue(), page)
    assert loaded.value.status in (200, 206)
    assert httpx.get(loaded.value.url, follow_redirects=False).status_code in (302, 401, 403), "strangers hear nothing"
    page.locator("label").filter(has_text="low").click()
    submit(page)
    assert arrived(store, owner, task) == "low"
