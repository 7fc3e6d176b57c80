"""What was acknowledged is on disk and stays there: many threads, small segments, other containers, forks, no locks at all."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml_assets.spool.adoption import adopt
from ml_assets.spool.segments import claimed, is_closed, segments
from ml_assets.spool.writer import SegmentWriter
from ml_assets.state.processes import BOOT_ID
from ml_assets.store import ProjectStore

from .lines import feedback, prediction, written

NOW = datetime.now(UTC)
BOOT = BOOT_ID.read_text()[:8]
ADOPT = """
import sys, pathlib
from datetime import UTC, datetime
from ml_assets.spool.adoption import adopt
from ml_assets.store import ProjectStore
done = adopt(ProjectStore("reviews", sys.argv[2]), pathlib.Path(sys.argv[1]), datetime.now(UTC))
print(done.predictions)
"""


def ids(folder: Path) -> list[str]:
    return sorted(json.loads(line)["id"] for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines())


def in_parallel(works: Sequence[Any]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_every_acknowledged_record_is_on_disk_once_whatever_many_threads_append(folder: Path) -> None:
    """Two threads, the model's and the one of feedback, share the writer; descriptors were closed under each other's hands."""
    writer, acknowledged = SegmentWriter(folder, max_bytes=2000), list[str]()

    def work(number: int) -> None:
        for n in range(300):
            writer.append([feedback(f"{number}-{n}", "p1")], NOW)
            acknowledged.append(f"{number}-{n}")

    in_parallel([lambda number=number: work(number) for number in range(8)])
    writer.close()
    assert len(acknowledged) == 2400
    assert ids(folder) == sorted(acknowledged)
    assert all(path.stat().st_size <= 2000 for path in folder.glob("*.jsonl"))


def test_nothing_is_lost_or_doubled_while_segments_are_adopted_under_the_writers(store: ProjectStore, folder: Path) -> None:
    writer, done = SegmentWriter(folder, max_bytes=2000), threading.Event()

    def write(number: int) -> None:
        for n in range(60):
            writer.append([prediction(f"{number}-{n}")], datetime.now(UTC))

    def read() -> None:
        while not done.is_set():
            adopt(store, folder, datetime.now(UTC))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    in_parallel([lambda number=number: write(number) for number in range(4)])
    done.set()
    for reader in readers:
        reader.join()
    writer.close()
    adopt(store, folder, NOW)
    rows = store.table("inference_log").read(["id"])["id"].to_pylist()
    assert sorted(rows) == sorted(f"{number}-{n}" for number in range(4) for n in range(60))


def of_another_namespace() -> list[str]:
    """A command before which another runs where the processes of this one cannot be seen."""
    for command in (["unshare"], ["unshare", "--user", "--map-root-user"]):
        prefix = [*command, "--pid", "--fork", "--mount-proc"]
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return ["env"]  # this machine has no namespaces for us: the lock is seen all the same


def test_a_reader_in_another_container_leaves_an_open_segment_alone(store: ProjectStore, folder: Path) -> None:
    writer = SegmentWriter(folder)
    command = [*of_another_namespace(), sys.executable, "-c", ADOPT, str(folder), str(Path(store.uri).parent)]
    for n in range(3):
        writer.append([prediction(f"p{n}")], NOW)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout == "1\n", "what is there is read"
        assert len(segments(folder)) == 1, "and the file stays, for its writer goes on"
    writer.close()
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert segments(folder) == [], "closed, it goes"
    assert store.table("inference_log").ids() == {"p0", "p1", "p2"}


def test_an_open_segment_is_open_when_its_process_is_not_to_be_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", gone)
    writer = SegmentWriter(folder)
    writer.append([prediction("p1")], NOW)
    [segment] = segments(folder)
    assert not is_closed(segment, NOW + timedelta(days=30))
    writer.close()
    assert is_closed(segment, NOW)


def test_a_closed_segment_is_claimed_by_one_reader_at_a_time(folder: Path) -> None:
    path = folder / f"{BOOT}-4000000-{time.time_ns()}.jsonl"
    path.write_bytes(written([prediction("p1")]))
    [segment] = segments(folder)
    with claimed(segment, NOW) as first, claimed(segment, NOW) as second:
        assert (first, second) == (True, False)
        path.unlink()
    with pytest.raises(FileNotFoundError), claimed(segment, NOW):
        pytest.fail("it is gone")
    assert not is_closed(segment, NOW)


def test_a_segment_of_the_version_before_is_open_as_long_as_its_writer_may_live(folder: Path) -> None:
    """It holds no lock; its process is alive and has not gone on to another file."""
    (folder / f"{BOOT}-{os.getpid()}-{time.time_ns()}.jsonl").write_bytes(written([prediction("p1")]))
    [segment] = segments(folder)
    assert not is_closed(segment, NOW + timedelta(days=30))


@pytest.mark.parametrize(("hours", "closed"), [(0, False), (48, True)])
def test_without_locks_a_segment_is_open_until_its_day_is_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hours: int, closed: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (folder / f"{BOOT}-4000000-{time.time_ns()}.jsonl").write_bytes(written([prediction("p1")]))
    [segment] = segments(folder)
    assert is_closed(segment, NOW + timedelta(hours=hours)) is closed
    writer = SegmentWriter(folder)
    writer.append([prediction("p2")], NOW)
    assert ids(folder) == ["p1", "p2"], "it is written all the same"
    writer.close()


def test_a_forked_child_keeps_neither_the_file_nor_the_lock_of_its_parent(folder: Path) -> None:
    writer = SegmentWriter(folder)
    writer.append([prediction("parent")], NOW)
    [own] = segments(folder)
    waiting, go = os.pipe()
    told, tell = os.pipe()
    if (child := os.fork()) == 0:  # pragma: no cover
        try:
            os.close(go)
            writer.append([prediction("child")], NOW)
            os.write(tell, b"x")
            os.read(waiting, 1)
        finally:
            os._exit(0)
    os.close(waiting)
    assert os.read(told, 1) == b"x"
    mine, theirs = own.path.read_bytes(), [s for s in segments(folder) if s.pid == child]
    assert (mine, len(theirs)) == (written([prediction("parent")]), 1)
    writer.close()
    handle = os.open(own.path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the child lives and would hold it
    for descriptor in (handle, go, told, tell):
        os.close(descriptor)
    os.waitpid(child, 0)


def test_what_follows_after_a_segment_was_deleted_goes_into_a_new_one(folder: Path) -> None:
    writer = SegmentWriter(folder)
    writer.append([prediction("p1")], NOW)
    segments(folder)[0].path.unlink()
    writer.append([prediction("p2")], NOW)
    assert ids(folder) == ["p2"]
    writer.close()
