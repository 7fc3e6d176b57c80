import json
from datetime import timedelta
from typing import Any

import pytest
from spool.lines import AT, days_ago, log, prediction

from ml_assets.monitoring import uncertain
from ml_assets.monitoring.uncertain import pick
from ml_assets.spool import inbox
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore
from ml_assets.store.schemas import rows


def waiting(store: ProjectStore) -> list[dict[str, Any]]:
    return [line for _, lines in inbox.read(store.project, "samples") for line in lines]


def test_the_least_confident_go_back_once(store: ProjectStore) -> None:
    log(store, [prediction(f"p{i}", f"text {i}", 0.3 + i / 20) for i in range(10)])
    assert pick(store, 3, 0.6, AT) == ["p0", "p1", "p2"]
    [first, *_] = sorted(waiting(store), key=lambda line: line["content"])
    assert first == {
        "content": "text 0", "client": "monitoring", "received_at": AT.isoformat(),
        "columns": {"prediction_id": "p0", "model": "reviews-1", "confidence": 0.3},
    }  # fmt: skip
    assert pick(store, 3, 0.6, AT + timedelta(hours=1)) == [], "no more today"
    assert pick(store, 3, 0.6, days_ago(-1)) == ["p3", "p4", "p5"]
    assert pick(store, 3, 0.6, days_ago(-2)) == [], "0.6 is not below 0.6, and nothing else is left"
    assert sorted(line["content"] for line in waiting(store)) == [f"text {i}" for i in range(6)]


def test_the_rest_of_the_day_stays_for_later(store: ProjectStore) -> None:
    log(store, [prediction("p1", "one", 0.5)])
    assert pick(store, 2, 0.6, AT) == ["p1"]
    log(store, [prediction("p2", "two", 0.4), prediction("p3", "three", 0.3)])
    assert pick(store, 2, 0.6, AT) == ["p3"]
    assert pick(store, 0, 0.6, days_ago(-1)) == []


def test_the_same_input_goes_back_once_and_known_samples_never(store: ProjectStore) -> None:
    store.table("samples").insert(rows("samples", [{"id": content_id("text", "known"), "text": "known"}]))
    log(store, [prediction("p1", "known", 0.1), prediction("p2", "new", 0.3), prediction("p3", "new", 0.2)])
    log(store, [prediction("p4", "long ago", 0.1, at=days_ago(8)), prediction("p5", "of late", 0.4, at=days_ago(6))])
    assert pick(store, 10, 0.6, AT) == ["p3", "p5"]
    log(store, [prediction("p6", "new", 0.1)])
    assert pick(store, 10, 0.6, days_ago(-1)) == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_call_that_was_killed_is_completed_by_the_next(
    store: ProjectStore, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    log(store, [prediction("p1", "one", 0.1), prediction("p2", "two", 0.2)])
    write = inbox.write

    def die(*arguments: Any) -> None:
        if moment == "after":
            write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(uncertain.inbox, "write", die)
        with pytest.raises(KeyboardInterrupt):
            pick(store, 1, 0.6, AT)
    log(store, [prediction("p0", "even less sure", 0.01)])
    assert pick(store, 1, 0.6, AT + timedelta(hours=1)) == [], "today's choice is made"
    assert [line["content"] for line in waiting(store)] == ["one"]
    assert store.table("picks").read(["sent"])["sent"].to_pylist() == [True]


def test_what_was_erased_meanwhile_is_not_sent(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    log(store, [prediction("p1", "one", 0.1)])
    with monkeypatch.context() as patch:
        patch.setattr(uncertain, "_send", lambda _: None)
        pick(store, 1, 0.6, AT)
    store.table("inference_log").delete("id = 'p1'")
    assert pick(store, 1, 0.6, AT) == []
    assert waiting(store) == []


def test_lines_are_plain_json(store: ProjectStore) -> None:
    log(store, [prediction("p1", "line\nend \u2028 🙂", 0.1)])
    pick(store, 1, 0.6, AT)
    [(path, _)] = inbox.read("reviews", "samples")
    [line] = path.read_text().splitlines()
    assert json.loads(line)["content"] == "line\nend \u2028 🙂"
