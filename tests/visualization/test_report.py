import base64
import hashlib
import json
import re
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_assets.modalities import Text
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.records import is_text
from ml_assets.visualization.report import ReportData, collect, render, write
from ml_assets.visualization.script import script_json
from ml_assets.visualization.settings import VisualizationSettings

from .conftest import report_of
from .reviews import AT, IDS, TASK
from .reviews import write as write_rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
BREAKING = st.sampled_from(["</script>", "</SCRIPT ", "<!--", "<script>", "]]>", "\u2028", "\u2029", "\x00", "\\u003c", "\\"])


@given(JSON | st.lists(BREAKING | st.text()).map("".join))
def test_script_json_gives_back_the_value_and_cannot_end_its_element(value: object) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<\u2028\u2029\n") & set(text)


def test_script_json_refuses_what_a_browser_could_not_read() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"confidence": float("nan")})


def test_the_page_runs_exactly_the_script_that_its_policy_names(data: ReportData) -> None:
    page = render(data)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_the_page_loads_nothing(data: ReportData) -> None:
    head = render(data).split('<script type="application/json"')[0]
    assert not re.search(r"<(img|iframe|script src)|@import|url\(|href=\"(?!#|data:,|http://127\.0\.0\.1:8080\")", head)


def test_hostile_text_stands_escaped_in_the_counts(data: ReportData) -> None:
    head = render(data).split('<script type="application/json"')[0]
    assert "&lt;b&gt;chi&lt;/b&gt;" in head
    assert "&lt;i&gt;cut&lt;/i&gt;" in head
    assert "#class=%3C/script%3E" in head
    assert not re.search(r"<b>chi|<i>cut|<b>9", head)


def test_the_head_names_project_dataset_and_time(data: ReportData) -> None:
    page = render(data)
    assert "ds-0f1e2d" in page
    assert "23 Nov 2026, 14:41 UTC" in page
    assert data.dataset == "ds-0f1e2d"


def test_the_page_says_when_it_holds_only_some_items(store: ProjectStore, data: ReportData) -> None:
    words = (
        "The counts cover all 8 samples. The items on this page are 3 of them: "
        "first those that are predicted otherwise than they are labelled, then labelled ones."
    )
    assert words in render(report_of(store, sample_limit=3))
    assert "The counts cover all" not in render(data)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=300) | BREAKING.map(lambda text: text * 50), min_size=20, max_size=60), st.integers(2, 30))
def test_the_page_is_no_larger_than_it_may_be_whatever_the_items_hold(texts: list[str], kilobytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, empty = ProjectStore("full", folder), len(render(report_of(ProjectStore("new", folder))).encode())
        texts = [text for text in texts if is_text(text)]
        samples = [{"id": content_id(str(i), text), "text": text, "columns": f'{{"<": {i}}}'} for i, text in enumerate(texts)]
        write_rows(store, "samples", samples)
        answers = [{"id": f"{s['id']}/{n}", "sample_id": s["id"], "value": "good"} for s in samples[::3] for n in range(5)]
        write_rows(store, "annotations", answers)
        small = report_of(store, page_megabytes=kilobytes / 1000)
        assert len(render(small).encode()) <= empty + 1000 * kilobytes + 2000  # 2000: the counts above the items
        assert small.overview.samples == len(samples) >= small.shown
        assert report_of(store).shown == len(samples)


def test_a_page_without_room_for_all_holds_what_is_predicted_differently(store: ProjectStore) -> None:
    small = report_of(store, page_megabytes=0.0015)
    assert 0 < small.shown < 8
    shown = set(small.content["items"]["id"])
    assert {IDS["mended"]} <= shown
    assert shown <= {IDS["mended"], IDS["slating"], IDS["attack"], IDS["praise"], IDS["doubt"]}


def test_the_same_data_give_the_same_page(store: ProjectStore, data: ReportData) -> None:
    assert render(report_of(store)) == render(data)


def test_write_replaces_the_page_whole_and_leaves_nothing_beside_it(tmp_path: Path, data: ReportData) -> None:
    folder = tmp_path / "reports" / "reviews"
    path = write(data, folder)
    first = path.read_text(encoding="utf-8")
    assert path == folder / "index.html"
    assert first == render(data)
    write(data, folder)
    assert [child.name for child in folder.iterdir()] == ["index.html"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, data: ReportData) -> None:
    (tmp_path / "index.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write(data, tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == ["index.html"]


def test_a_url_that_is_no_web_address_is_refused(store: ProjectStore) -> None:
    with pytest.raises(ValueError, match=r"the URL of label_studio, 'javascript:alert\(1\)', cannot be linked to"):
        collect(store, Text(), TASK, VisualizationSettings(), {"label_studio": "javascript:alert(1)"}, at=AT)


@pytest.mark.parametrize("wrong", [{"max_characters": 0}, {"sample_limit": 0}, {"page_megabytes": 0}, {"sample_limits": 5}])
def test_settings_refuse_what_makes_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        VisualizationSettings(**wrong)


def test_an_empty_project_has_a_page(tmp_path: Path) -> None:
    page = render(report_of(ProjectStore("new", tmp_path)))
    assert "Nothing has been collected yet." in page
    assert "no dataset yet" in page
