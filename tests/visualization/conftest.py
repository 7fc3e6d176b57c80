"""A small project with everything a report can hold, and pages opened in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser_fixture import browser
from playwright.sync_api import Browser, ConsoleMessage, Page

from ml_assets.modalities import Modality, Text
from ml_assets.store import ProjectStore
from ml_assets.visualization.report import ReportData, collect, write
from ml_assets.visualization.settings import VisualizationSettings

from .reviews import AT, TASK, fill

__all__ = ["browser"]

Open = Callable[..., Page]


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> ProjectStore:
    """The project `reviews` of `fill`; tests only read it."""
    filled = ProjectStore("reviews", tmp_path_factory.mktemp("store"))
    fill(filled)
    return filled


@pytest.fixture(scope="package")
def data(store: ProjectStore) -> ReportData:
    """What the report of `reviews` shows."""
    return report_of(store)


def report_of(store: ProjectStore, modality: Modality | None = None, **options: float) -> ReportData:
    """The report of a store, with links to a Label Studio."""
    settings = VisualizationSettings.model_validate(options)
    return collect(store, modality or Text(), TASK, settings, {"label_studio": "http://127.0.0.1:8080/"}, at=AT)


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Writes a report and opens it from its file. Fails if a page says an error, asks for anything, or opens a dialog.

    `policy=False` opens it without its content security policy; `blocks=True` expects that the policy blocks something.
    """
    troubles: list[str] = []
    pages: list[Page] = []

    def opened(
        data: ReportData, address: str = "", width: int = 1400, height: int = 900, policy: bool = True, blocks: bool = False
    ) -> Page:
        path = write(data, tmp_path / "report")
        page = browser.new_page(viewport={"width": width, "height": height}, bypass_csp=not policy)
        page.set_default_timeout(10_000)

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not (blocks and "Content Security Policy" in message.text):
                troubles.append(message.text)

        page.on("console", said)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith(path.as_uri()) else None)
        pages.append(page)
        page.goto(path.as_uri() + address)
        return page

    yield opened
    for page in pages:
        assert page.evaluate("window.pwned") is None
        page.close()
    assert troubles == []
