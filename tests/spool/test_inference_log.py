import json
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.spool import adoption as inference_log
from ml_assets.spool.adoption import AdoptResult, adopt, find, pending
from ml_assets.state.processes import BOOT_ID
from ml_assets.store import ProjectStore

from .lines import AT, feedback, prediction, written

LINES = [
    prediction("p1", "первый, with a \u2028 separator"),
    feedback("f1", "p1"),
    prediction("p2", 'quotes " and \\ and \n line ends'),
    prediction("p3", "third 🙂"),
    feedback("f2", "p3", "good"),
]
OPEN = f"{BOOT_ID.read_text()[:8]}-{os.getpid()}-{time.time_ns()}.jsonl"
CLOSED = "00000000-77-1000000000000000000.jsonl"
TODAY = f"00000000-77-{int(AT.timestamp())}000000000.jsonl"


def tables(store: ProjectStore) -> tuple[Any, Any]:
    return tuple(sorted(store.table(name).read().to_pylist(), key=lambda r: r["id"]) for name in ("inference_log", "feedback"))


def test_lines_become_rows_with_all_their_values(store: ProjectStore, folder: Path) -> None:
    (folder / OPEN).write_bytes(written(LINES))
    assert adopt(store, folder, AT) == AdoptResult(predictions=3, feedback=2, bad_lines=0)
    logged, given_back = tables(store)
    expected = {k: v for k, v in LINES[0].items() if k != "kind"} | {"at": AT, "scores": json.dumps(LINES[0]["scores"])}
    assert logged[0] == expected | {"media": None, "offsets": None}
    assert given_back[0] == {k: v for k, v in LINES[1].items() if k != "kind"} | {"at": AT}
    assert adopt(store, folder, AT) == AdoptResult(0, 0, 0)
    assert (folder / OPEN).exists()


def test_nothing_is_there_before_the_first_prediction(store: ProjectStore, folder: Path) -> None:
    assert adopt(store, folder, AT) == AdoptResult(0, 0, 0)
    assert adopt(store, folder / "missing", AT) == AdoptResult(0, 0, 0)
    assert not pending(store, folder, AT)
    assert not pending(store, folder / "missing", AT)
    assert list(folder.iterdir()) == []


def test_a_closed_segment_goes_and_its_bad_lines_stay(store: ProjectStore, folder: Path) -> None:
    torn = written([prediction("p9")])[:-20]
    (folder / CLOSED).write_bytes(written(LINES[:2]) + b"{nonsense}\n" + torn)
    assert adopt(store, folder, AT) == AdoptResult(1, 1, 2)
    assert not (folder / CLOSED).exists()
    assert (folder / CLOSED).with_suffix(".bad").read_bytes() == b"{nonsense}\n" + torn + b"\n"
    assert not pending(store, folder, AT)


def test_a_closed_segment_is_read_whole_whatever_is_remembered(store: ProjectStore, folder: Path) -> None:
    (folder / CLOSED).write_bytes(written(LINES))
    memory = {"store": store.uri, "segments": {CLOSED: [len(written(LINES))] * 2}}
    (folder / inference_log.MEMORY).write_text(json.dumps(memory))
    assert adopt(store, folder, AT) == AdoptResult(3, 2, 0)


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "other"}, {"id": ""}, {"id": None}, {"id": 7}, {"at": "yesterday"}, {"at": 5},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"label": None}, {"confidence": "high"}, {"confidence": float("nan")}, {"confidence": 10**400}, {"scores": [1]},
        {"scores": {"good": "much"}}, {"model": None}, {"text": "half \ud800"}, {"text": 5}, {"client": ["a"]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_bad_line_stops_nothing(store: ProjectStore, folder: Path, damage: dict[str, Any]) -> None:
    bad = json.dumps(prediction("bad") | damage).encode() + b"\n"
    (folder / OPEN).write_bytes(written(LINES[:1]) + bad + written(LINES[2:3]))
    assert adopt(store, folder, AT) == AdoptResult(2, 0, 1)
    assert store.table("inference_log").ids() == {"p1", "p2"}


@pytest.mark.parametrize("bad", [b"\xff\n", b"[]\n", b"null\n", b"3\n", b"[" * 100_000 + b"\n", b"\n", b"  \n"], ids=range(7))
def test_whatever_is_not_json_stops_nothing_either(store: ProjectStore, folder: Path, bad: bytes) -> None:
    (folder / OPEN).write_bytes(written(LINES[:1]) + bad + written(LINES[2:3]))
    assert adopt(store, folder, AT) == AdoptResult(2, 0, 1 if bad.strip() else 0)


def test_pending_sees_what_is_new_and_only_that(store: ProjectStore, folder: Path) -> None:
    path, data = folder / OPEN, written(LINES)
    path.write_bytes(data[:100])
    assert pending(store, folder, AT)
    adopt(store, folder, AT)
    assert not pending(store, folder, AT), "half a line that does not grow is nothing new"
    path.write_bytes(data)
    assert pending(store, folder, AT)
    adopt(store, folder, AT)
    assert not pending(store, folder, AT)
    (folder / inference_log.MEMORY).write_text("{torn")
    assert pending(store, folder, AT), "a lost memory costs work, not rows"
    assert adopt(store, folder, AT) == AdoptResult(0, 0, 0)
    moved = ProjectStore("reviews", folder / "elsewhere")
    assert pending(moved, folder, AT)
    assert adopt(moved, folder, AT) == AdoptResult(3, 2, 0)


def test_rows_larger_than_a_batch(store: ProjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_log, "BATCH", 2)
    (folder / OPEN).write_bytes(written(LINES))
    assert adopt(store, folder, AT) == AdoptResult(3, 2, 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_answer_given_again_is_as_new_as_its_last_time(store: ProjectStore, folder: Path, order: tuple[int, int]) -> None:
    hours = [AT, AT + timedelta(hours=1)]
    for pid, i in enumerate(order):
        (folder / CLOSED.replace("77", str(pid))).write_bytes(written([feedback("f", "p1", at=hours[i])]))
        adopt(store, folder, AT)
    assert store.table("feedback").read()["at"].to_pylist() == [hours[1]]


def test_a_prediction_is_found_before_it_is_adopted(folder: Path) -> None:
    (folder / OPEN).write_bytes(b"{bad p2\n" + written([feedback("p2", "p1"), *LINES]))
    found = find(folder, "p2")
    assert found is not None
    assert (found["text"], found["at"]) == (LINES[2]["text"], AT)
    assert find(folder, "f1") is None
    assert find(folder, "nothing") is None


@pytest.mark.parametrize("moment", ["_keep_newest", "write_whole", "_remember"])
def test_killed_at_any_moment_and_called_again(
    store: ProjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (folder / OPEN).write_bytes(written(LINES[:3]))
    (folder / CLOSED).write_bytes(written(LINES[3:]) + b"bad\n")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inference_log, moment, die)
        with pytest.raises(KeyboardInterrupt):
            adopt(store, folder, AT)
    adopt(store, folder, AT)
    logged, given_back = tables(store)
    assert [r["id"] for r in logged] == ["p1", "p2", "p3"]
    assert [r["id"] for r in given_back] == ["f1", "f2"]
    assert sorted(p.suffix for p in folder.iterdir()) == [".bad", ".json", ".jsonl"]


whole = written(LINES)
steps = st.lists(st.tuples(st.booleans(), st.integers(0, len(whole))), max_size=4)


@settings(max_examples=100, deadline=None)
@given(grown=steps, split=st.integers(0, len(LINES)), forget=st.booleans())
def test_any_cut_and_any_order_give_the_same_tables(grown: list[tuple[bool, int]], split: int, forget: bool) -> None:
    """Two workers' files grow by any number of bytes between any number of readings; one worker ends at the end."""
    parts = {OPEN: written(LINES[:split] + LINES[:1]), TODAY: written(LINES[split:] + LINES[-1:])}
    later = AT.replace(year=2027)  # by then the second file's day is over
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name) / "segments", ProjectStore("reviews", name)
        folder.mkdir()
        for first, cut in grown:
            path = folder / list(parts)[0 if first else 1]
            size = path.stat().st_size if path.exists() else 0
            path.write_bytes(parts[path.name][: max(cut, size)])
            adopt(store, folder, AT)
            if forget:
                (folder / inference_log.MEMORY).unlink(missing_ok=True)
        for path_name, data in parts.items():
            (folder / path_name).write_bytes(data)
        result = adopt(store, folder, later)
        assert result.bad_lines == 0
        assert [p.name for p in folder.glob("*.jsonl")] == [OPEN]
        logged, given_back = tables(store)
        assert [(r["id"], r["text"]) for r in logged] == [(f"p{i}", LINES[j]["text"]) for i, j in ((1, 0), (2, 2), (3, 3))]
        assert [r["id"] for r in given_back] == ["f1", "f2"]
        assert not pending(store, folder, later)
