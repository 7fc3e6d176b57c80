import json
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from deployment.serving import records_of

from ml_assets.spool.writer import SegmentWriter

AT = datetime(2026, 1, 2, 23, 59, tzinfo=UTC)
RECORDS = [{"id": str(n), "text": f"line\nbreaks\r and \u2028 é 🙂 {n}"} for n in range(5)]


def test_records_come_back_from_a_file_that_names_its_writer(tmp_path: Path) -> None:
    import os

    writer = SegmentWriter(tmp_path, start=lambda: 77)
    writer.append(RECORDS[:2], AT)
    writer.append(RECORDS[2:], AT)
    [path] = tmp_path.iterdir()
    boot, pid, start = path.stem.split("-")
    assert (len(boot), int(pid), int(start)) == (8, os.getpid(), 77)
    assert records_of(tmp_path) == RECORDS
    writer.close()


def test_a_new_file_at_the_limit_and_at_the_new_day(tmp_path: Path) -> None:
    starts = count(1)
    writer = SegmentWriter(tmp_path, max_bytes=150, start=lambda: next(starts))
    for record in RECORDS:
        writer.append([record], AT)
    files = sorted(tmp_path.iterdir(), key=lambda p: int(p.stem.split("-")[2]))
    assert len(files) > 1
    assert all(f.stat().st_size <= 150 for f in files)
    writer.append([RECORDS[0]], AT + timedelta(minutes=2))
    assert len(list(tmp_path.iterdir())) == len(files) + 1
    assert sorted(records_of(tmp_path), key=lambda r: r["id"]) == [RECORDS[0], *RECORDS]
    writer.close()


def test_what_cannot_be_stored_raises_and_the_next_goes_into_a_new_file(tmp_path: Path) -> None:
    import resource
    import signal

    starts = count(1)
    writer = SegmentWriter(tmp_path, start=lambda: next(starts))
    writer.append(RECORDS[:1], AT)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))  # as if the disk were full
        with pytest.raises(OSError, match=r"only \d+ of \d+ bytes|File too large"):
            writer.append(RECORDS[1:], AT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    writer.append(RECORDS[1:], AT)
    old, new = sorted(tmp_path.iterdir(), key=lambda p: int(p.stem.split("-")[2]))
    torn = old.read_bytes()
    whole = [json.loads(line) for line in torn[: torn.rfind(b"\n")].split(b"\n")]
    assert whole == RECORDS[: len(whole)]
    assert 1 <= len(whole) < len(RECORDS)
    assert [json.loads(line) for line in new.read_bytes().splitlines()] == RECORDS[1:]
    writer.close()
