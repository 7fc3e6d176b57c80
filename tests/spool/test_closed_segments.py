import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from ml_assets.spool.adoption import adopt
from ml_assets.spool.segments import Segment, is_closed, segments
from ml_assets.spool.writer import SegmentWriter
from ml_assets.state.processes import BOOT_ID
from ml_assets.store import ProjectStore

from .lines import AT, prediction

BOOT = BOOT_ID.read_text()[:8]
NOW = datetime.now(UTC)
WORKER = """
import sys, json, pathlib, datetime
from ml_assets.spool.writer import SegmentWriter
writer = SegmentWriter(pathlib.Path(sys.argv[1]))
for line in sys.stdin:
    writer.append([json.loads(line)], datetime.datetime.now(datetime.UTC))
    print("written", flush=True)
"""


def only(folder: Path) -> Segment:
    [segment] = segments(folder)
    return segment


@pytest.fixture
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written one prediction with the endpoint's own writer, and waits for the next."""
    import json

    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(prediction("p1")) + "\n")
    assert process.stdout.readline() == "written\n"
    yield process
    process.kill()
    process.communicate()


def test_a_segment_lives_as_long_as_its_worker(worker: subprocess.Popen[str], store: ProjectStore, folder: Path) -> None:
    assert not is_closed(only(folder), NOW)
    assert not is_closed(only(folder), NOW + timedelta(days=30)), "an idle worker keeps its file over midnight"
    assert adopt(store, folder, NOW).predictions == 1
    assert only(folder).path.exists()
    worker.kill()
    process = psutil.Process(worker.pid)
    deadline = time.monotonic() + 10
    while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        pass
    assert is_closed(only(folder), NOW), "dead, though nobody has waited for it yet"
    worker.wait()
    assert is_closed(only(folder), NOW)
    adopt(store, folder, NOW)
    assert segments(folder) == []
    assert store.table("inference_log").ids() == {"p1"}


def test_a_file_that_is_held_open_is_open_whatever_the_clock_says(folder: Path) -> None:
    """A clock that was set forward makes a worker seem younger than its segment; so does another one with its number."""
    hour_before = int((psutil.Process().create_time() - 3600) * 1e9)
    writer = SegmentWriter(folder, start=lambda: hour_before)
    writer.append([prediction("p1")], AT)
    assert not is_closed(only(folder), NOW)
    writer.close()
    assert is_closed(only(folder), NOW)


def test_only_the_newest_of_a_process_is_open(folder: Path) -> None:
    starts = iter([time.time_ns(), time.time_ns() + 1])
    writer = SegmentWriter(folder, max_bytes=1, start=lambda: next(starts))
    writer.append([prediction("p1")], AT)
    writer.append([prediction("p2")], AT)
    writer.close()
    old, new = segments(folder)
    assert old.start < new.start
    assert (is_closed(old, NOW), is_closed(new, NOW)) == (True, False)
    with old.path.open("rb"):
        assert not is_closed(old, NOW), "somebody in that process still holds it"


@pytest.mark.parametrize(
    ("start", "at", "closed"),
    [
        ("2026-03-09T23:59:59", "2026-03-10T00:30:00", False),
        ("2026-03-09T23:59:59", "2026-03-10T01:00:00", True),
        ("2026-03-09T00:00:00", "2026-03-09T23:59:59", False),
        ("2026-03-10T09:00:00", "2026-03-09T09:00:00", False),
    ],
)
def test_of_another_machine_only_the_day_tells(folder: Path, start: str, at: str, closed: bool) -> None:
    began = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()) * 10**9
    for pid in (os.getpid(), 4_000_000):
        path = folder / f"00000000-{pid}-{began}.jsonl"
        path.touch()
        assert is_closed(only(folder), datetime.fromisoformat(at).replace(tzinfo=UTC)) is closed
        path.unlink()


def test_a_process_that_never_was_wrote_nothing_more(folder: Path) -> None:
    (folder / f"{BOOT}-4000000-{time.time_ns()}.jsonl").touch()  # above the largest process id that the kernel gives
    assert is_closed(only(folder), NOW)


@pytest.mark.parametrize("name", ["backup.jsonl", "a-b-c.jsonl", f"{BOOT}-1.jsonl", f"{BOOT}-x-5.jsonl", "-1-1.jsonl"])
def test_what_no_worker_named_is_read_and_never_deleted(store: ProjectStore, folder: Path, name: str) -> None:
    from .lines import written

    (folder / name).write_bytes(written([prediction("p1")]))
    assert adopt(store, folder, NOW + timedelta(days=1000)).predictions == 1
    assert (folder / name).exists()
