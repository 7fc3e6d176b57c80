"""Counting needs no room on a disk that may be full by then."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import os
from pathlib import Path
from ml_assets.deployment import metrics

for number in range(200):
    metrics.REQUESTS.labels("predict", str(number)).inc()
metrics.SAMPLES.labels("letters").observe(3)
folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
print(folder)
for path in sorted(folder.glob("*.db")):
    stat = path.stat()
    print(path.name.rpartition("_")[0], stat.st_size, stat.st_blocks * 512)
print(metrics.exposition("letters")[0].decode().count("ml_assets_requests_total{"))
"""


def count(folder: Path) -> list[str]:
    """What a worker says that counts in this folder."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_worker_takes_its_room_before_it_counts(tmp_path: Path) -> None:
    """A file with holes that are filled while the disk is full ends the process by a signal."""
    folder, *files, shown = count(tmp_path)
    assert (folder, shown) == (str(tmp_path), "200")
    for line, kind in zip(files, ("counter", "histogram"), strict=True):
        name, size, taken = line.split()
        assert name == kind
        assert int(taken) >= int(size) >= 200_000


@pytest.mark.parametrize("place", ["file/below", "missing"])
def test_where_there_is_no_room_a_worker_counts_for_itself(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    folder, *_, shown = count(tmp_path / place)
    try:
        assert not Path(folder).is_relative_to(tmp_path)
        assert shown == "200"
    finally:
        shutil.rmtree(folder)
