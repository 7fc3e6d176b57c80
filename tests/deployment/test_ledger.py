from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_assets.store import ProjectStore, ledger

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectStore:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    return ProjectStore("letters")


def states(store: ProjectStore) -> dict[str, str]:
    return {d.id: d.state for d in ledger.history(store)}


def test_an_empty_ledger(store: ProjectStore) -> None:
    assert ledger.history(store) == []
    assert ledger.serving(store) is None
    assert ledger.wanted(store) is None
    assert ledger.version(store) is None


def test_the_way_from_request_to_live_to_replaced(store: ProjectStore) -> None:
    assert ledger.request(store, "letters-1", "letters:a", "me", AT, '{"macro_f1": 0.9}') == "letters-d1"
    assert ledger.serving(store) is None
    wanted = ledger.wanted(store)
    assert wanted is not None
    assert (wanted.id, wanted.state, wanted.live_at, wanted.checks) == ("letters-d1", "requested", None, '{"macro_f1": 0.9}')
    row = ledger.mark(store, "letters-d1", "live", AT + timedelta(seconds=5))
    assert ledger.serving(store) == row
    assert row.live_at == AT + timedelta(seconds=5)
    ledger.request(store, "letters-2", "letters:b", "me", AT)
    assert (ledger.serving(store), ledger.wanted(store)) == (row, ledger.history(store)[-1])
    ledger.mark(store, "letters-d2", "live", AT)
    assert states(store) == {"letters-d1": "replaced", "letters-d2": "live"}
    assert ledger.history(store)[0].reason == "replaced by letters-d2"


def test_a_request_that_fails_leaves_the_live_one(store: ProjectStore) -> None:
    for _ in range(2):
        ledger.request(store, "letters-1", "letters:a", "me", AT)
        if ledger.serving(store) is None:
            ledger.mark(store, "letters-d1", "live", AT)
    ledger.mark(store, "letters-d2", "failed", AT, "it is damaged")
    assert states(store) == {"letters-d1": "live", "letters-d2": "failed"}
    assert ledger.wanted(store) == ledger.serving(store)


def test_a_live_one_that_fails_brings_the_one_before_back(store: ProjectStore) -> None:
    for n in (1, 2, 3):
        ledger.mark(store, ledger.request(store, f"letters-{n}", "b:c", "me", AT), "live", AT)
    ledger.mark(store, "letters-d3", "failed", AT, "a worker hangs")
    assert states(store) == {"letters-d1": "replaced", "letters-d2": "live", "letters-d3": "failed"}


def test_a_newer_request_replaces_one_that_nobody_answers(store: ProjectStore) -> None:
    ledger.request(store, "letters-1", "letters:a", "me", AT)
    ledger.request(store, "letters-2", "letters:b", "me", AT)
    assert states(store) == {"letters-d1": "replaced", "letters-d2": "requested"}


def test_numbers_count_on_past_nine_and_are_never_given_twice(store: ProjectStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: ledger.request(store, f"letters-{n}", "b:c", "me", AT), range(12)))
    assert sorted(made) == sorted(f"letters-d{n}" for n in range(1, 13))
    assert [d.number for d in ledger.history(store)] == list(range(1, 13))


def test_the_version_moves_with_every_change_and_only_then(store: ProjectStore) -> None:
    ledger.request(store, "letters-1", "letters:a", "me", AT)
    first = ledger.version(store)
    assert first is not None
    assert ledger.version(store) == first
    ledger.mark(store, "letters-d1", "live", AT)
    assert ledger.version(store) != first


def test_an_unknown_deployment(store: ProjectStore) -> None:
    ledger.request(store, "letters-1", "letters:a", "me", AT)
    with pytest.raises(ledger.UnknownDeployment, match="no deployment 'letters-d7': there are letters-d1"):
        ledger.mark(store, "letters-d7", "live", AT)
