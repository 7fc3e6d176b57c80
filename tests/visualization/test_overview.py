from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows
from ml_assets.visualization.report import ReportData

from .conftest import report_of
from .reviews import AT


def test_counts_per_status_split_and_class(data: ReportData) -> None:
    counts = data.overview
    assert counts.samples == 8
    assert counts.statuses == {"labelled": 4, "conflict": 1, "waiting": 1, "unlabelled": 2}
    assert counts.splits == {"train": 7, "test": 1}
    assert counts.classes == {"good": {"train": 1}, "bad": {"test": 1}, "so so": {"train": 1}, "</script>": {"train": 1}}
    assert counts.labelled_per_class == {"good": 1, "bad": 1, "so so": 1, "</script>": 1}


def test_sources_sum_their_receipts(data: ReportData) -> None:
    files, push = data.overview.sources
    assert (files.name, files.samples, files.received, files.accepted, files.duplicates, files.rejected) == (
        "files",
        6,
        12,
        8,
        2,
        2,
    )
    assert (push.name, push.samples, push.received) == ("push", 2, 0)


def test_labelers_count_what_stands_and_agree_with_each_other(data: ReportData) -> None:
    found = {one.name: one for one in data.overview.labelers}
    assert [one.name for one in data.overview.labelers] == ["ada", "ben", "<b>chi</b>", "published"]
    assert (found["ada"].annotations, found["ada"].shared, found["ada"].median_seconds) == (3, 3, 8.0)
    # with ben on praise, against ben on doubt, with one of two on mended
    assert found["ada"].agreement == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert found["<b>chi</b>"].annotations == 2
    assert found["<b>chi</b>"].agreement == 0
    assert (found["published"].kind, found["published"].shared, found["published"].agreement) == ("published", 0, None)
    assert found["ben"].last == AT + timedelta(days=5)


def test_agreement_is_that_of_samples_that_several_annotated(data: ReportData) -> None:
    assert data.overview.shared == 3
    assert data.overview.agreement == pytest.approx((1 + 0.5 + 2 / 3) / 3)


def test_days_leave_out_published_labels_and_those_taken_back(data: ReportData) -> None:
    days = {day.isoformat(): counts for day, counts in data.overview.days.items()}
    assert days["2026-11-23"] == {"ada": 1}
    assert days["2026-11-25"] == {"ada": 1}
    assert sum(sum(counts.values()) for counts in days.values()) == 8


def test_predictions_are_compared_where_there_is_a_label(data: ReportData) -> None:
    found = data.overview.predictions
    assert found is not None
    assert (found.models, found.predicted, found.compared, found.differ) == (["reviews-1"], 4, 3, 2)


def test_rejects_are_counted_per_reason_and_listed_newest_first(data: ReportData) -> None:
    assert data.overview.rejected == 3
    assert data.overview.reasons == {"empty": 2, "too long: <b>9</b>": 1}
    assert [reject["id"] for reject in data.overview.rejects] == ["r2", "r1", "r0"]


def test_counts_cover_all_samples_though_the_page_holds_few(store: ProjectStore) -> None:
    data = report_of(store, sample_limit=2)
    assert (data.overview.samples, data.shown) == (8, 2)


def test_a_store_without_tables_has_empty_counts(tmp_path: Path) -> None:
    counts = report_of(ProjectStore("new", tmp_path)).overview
    assert (counts.samples, counts.sources, counts.labelers, counts.agreement, counts.predictions) == (0, [], [], None, None)
    assert counts.classes == {"good": {}, "bad": {}, "so so": {}}


def test_missing_times_and_labelers_do_not_break_the_counts(tmp_path: Path) -> None:
    store = ProjectStore("bare", tmp_path)
    store.table("samples").upsert(rows("samples", [{"id": "a", "text": "x"}]))
    store.table("annotations").upsert(rows("annotations", [{"id": "1", "sample_id": "a", "value": "good"}]))
    counts = report_of(store).overview
    assert [(one.name, one.annotations, one.last) for one in counts.labelers] == [("unknown", 1, None)]
    assert counts.days == {}
