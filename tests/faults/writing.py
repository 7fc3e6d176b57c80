"""A worker's part in recording, as a process of its own: several threads write with the endpoint's own writer.

    python -m faults.writing write THREADS FOLDER COUNT BYTES PAUSE NAME | adopt ROOT PROJECT FOLDER

`write` prints the ids of records as they are acknowledged, then waits to be killed. `adopt` brings in what there is until its
input ends. Both in whichever PID namespace they are started.
"""

import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_assets.spool.adoption import adopt
from ml_assets.spool.writer import SegmentWriter
from ml_assets.store import ProjectStore


def prediction(key: str, at: datetime) -> dict[str, Any]:
    """A record as the endpoint writes it."""
    return {
        "kind": "prediction", "id": key, "at": at.isoformat(), "model": "letters-1", "client": "application",
        "sample_id": key, "text": f"text of {key}", "label": "space", "confidence": 0.5, "scores": {"space": 0.5, "med": 0.5},
    }  # fmt: skip


def feedback(key: str, of: str, at: datetime) -> dict[str, Any]:
    """What a client said of it."""
    return {"kind": "feedback", "id": key, "prediction_id": of, "label": "med", "at": at.isoformat(), "client": "application"}


def write(threads: int, folder: Path, count: int, size: int, pause: float, name: str) -> None:
    """Write `count` predictions and answers of feedback in each of the threads, acknowledging each when it is stored.

    Args:
        threads: How many write at once with the same writer.
        folder: Where the segments are.
        count: Predictions of each thread.
        size: Bytes after which a new segment begins.
        pause: Seconds between two records of a thread.
        name: Before the ids of the records.
    """
    writer, telling = SegmentWriter(folder, max_bytes=size), threading.Lock()

    def one(thread: int) -> None:
        for number in range(count):
            at, key = datetime.now(UTC), f"{name}-{thread}-{number}"
            writer.append([prediction(key, at)], at)
            _tell(telling, key)
            writer.append([feedback(f"f-{key}", key, at)], at)
            _tell(telling, f"f-{key}")
            time.sleep(pause)

    started = [threading.Thread(target=one, args=(thread,)) for thread in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    print("done", flush=True)
    sys.stdin.read()


def _tell(telling: threading.Lock, key: str) -> None:
    with telling:
        print(key, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]), sys.argv[7])
    else:
        store, waiting = ProjectStore(sys.argv[3], sys.argv[2]), threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), waiting.set()), daemon=True).start()
        adopt(store, Path(sys.argv[4]), datetime.now(UTC))
        print("adopting", flush=True)
        while not waiting.is_set():
            adopt(store, Path(sys.argv[4]), datetime.now(UTC))
