"""The dataset report: one HTML page that contains all its data and needs no server."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from ml_assets.errors import InvalidValue
from ml_assets.modalities import Modality
from ml_assets.state import home
from ml_assets.state.digests import content_id
from ml_assets.state.files import write_whole
from ml_assets.store import ProjectStore
from ml_assets.tasks import Task
from ml_assets.visualization.dataset import dataset_rows, first_to_show
from ml_assets.visualization.figures import split_colours
from ml_assets.visualization.items import items_of
from ml_assets.visualization.overview import Overview, overview
from ml_assets.visualization.script import script_json
from ml_assets.visualization.settings import VisualizationSettings

TEMPLATES = resources.files("ml_assets.visualization") / "templates"
SCRIPTS = ("data.js", "show.js", "facets.js", "list.js", "item.js", "page.js")
PAGES = {"dagster": "Dagster", "label_studio": "Label Studio", "mlflow": "MLflow"}
PREDICTED = {
    "test_predictions": ["model", "label", "confidence"],
    "cross_predictions": ["label", "confidence"],
    "batch_predictions": ["model", "label", "confidence"],
}
"""Tables of predictions, with the columns that the page shows."""


@dataclass(frozen=True)
class ReportData:
    """All data of the page.

    Args:
        dataset: Tag of the newest dataset, None before the first.
        at: The time that the page states.
        overview: Counts over all samples.
        content: The items on the page (`items_of`), as many as the settings have room for.
        shown: Number of items on the page.
        max_characters: How much of each item is shown, in the modality's unit.
        urls: Base URLs of the servers, by service name.
    """

    project: str
    modality: str
    task: str
    dataset: str | None
    at: datetime
    overview: Overview
    content: dict[str, Any]
    shown: int
    max_characters: int
    urls: dict[str, str]


def addresses() -> dict[str, str]:
    """Base URLs of the servers that the page links to, by service name, without those that are no http(s) URLs."""
    return {name: address for name in PAGES if (address := home.url(name)).startswith("http")}


def content_digest(store: ProjectStore) -> str:
    """A digest of the table contents that the page shows."""
    return (
        store.table("annotations").digest(["sample_id", "value", "labeler", "deleted"])
        + store.table("samples").digest(["id", "split"])
        + store.table("label_tasks").digest(["id", "task_id"])
        + content_id(*(store.table(name).digest(columns) for name, columns in PREDICTED.items()))[:16]
    )


def collect(
    store: ProjectStore,
    modality: Modality,
    task: Task,
    settings: VisualizationSettings,
    urls: Mapping[str, str],
    *,
    at: datetime,
    dataset: str | None = None,
) -> ReportData:
    """Read the current data for the page from the project's tables.

    Args:
        urls: Base URLs for browsers, by service name; that of `label_studio` is used for the links to tasks.
        at: The time that the page states.
        dataset: The dataset's tag; the newest if not given.

    Raises:
        ValueError: A URL is not http or https.
    """
    for service, url in urls.items():
        if not url.startswith(("http://", "https://")):
            raise InvalidValue(
                f"the URL of {service}, {url!r}, cannot be linked to: use one that starts with http:// or https://"
            )
    rows = dataset_rows(store, task)
    annotations = store.table("annotations").read()
    # all items are inside the page, which must still load
    first = first_to_show(rows, settings.sample_limit)
    content = items_of(
        first, annotations, store, modality, task, settings.max_characters, round(settings.page_megabytes * 1_000_000)
    )
    return ReportData(
        project=store.project,
        modality=modality.type,
        task=task.type,
        dataset=dataset or next(reversed(store.table("dataset").tags()), None),
        at=at,
        overview=overview(rows, annotations, store, task),
        content=content,
        shown=len(content["items"]["id"]),
        max_characters=settings.max_characters,
        urls={service: url.rstrip("/") for service, url in urls.items()},
    )


def render(data: ReportData) -> str:
    """Render the page as HTML, with a content security policy that allows only the page's own script, by its hash."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "percent": _percent, "moment": _moment, "day": _day}
    script = '"use strict";\n(() => {\n' + "\n".join(_template(name) for name in SCRIPTS) + "\n})();\n"
    content = {
        **data.content,
        "label_studio": data.urls.get("label_studio"),
        "limit": data.max_characters,
        "project": data.project,
    }
    return environment.from_string(_template("report.html.jinja")).render(
        data=data,
        counts=data.overview,
        colours=split_colours(data.overview.splits),
        pages=[(PAGES[service], url) for service, url in data.urls.items() if service in PAGES],
        style=Markup(_template("report.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        content=Markup(script_json(content)),
    )


def write(data: ReportData, folder: Path) -> Path:
    """Render the page and write it atomically to `folder/index.html`; return its path."""
    path = folder / "index.html"
    write_whole(path, render(data).encode())
    return path


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,}"


def _percent(part: float, whole: float = 1) -> str:
    """Format a share as a percentage; only exactly none and all are shown as 0 % and 100 %."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %" if share % 1 else f"{share:.0f} %"


def _moment(value: datetime) -> str:
    return f"{_day(value)}, {value.astimezone(UTC):%H:%M} UTC"


def _day(value: datetime) -> str:
    value = value.astimezone(UTC)
    return f"{value.day} {value:%b %Y}"
