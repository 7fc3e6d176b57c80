"""Two PID namespaces, as two containers have them: who writes segments and who adopts them see no process of the other."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ml_assets.spool.adoption import adopt
from ml_assets.store import ProjectStore

from .acknowledged import Kept
from .rounds import Round

PROJECT = "letters"
SCENES = {
    "both outside": (False, False),
    "the writer inside, the adopter outside": (True, False),
    "the writer outside, the adopter inside": (False, True),
    "each inside another": (True, True),
}
"""Whether the writer and the adopter are in a PID namespace of their own."""
NUMBER = "30000"
"""A process inside gets about this number, which nobody outside has: low ones are those of the kernel's threads there."""
INSIDE = ["sh", "-c", 'echo "$0" > /proc/sys/kernel/ns_last_pid; "$@"; exit $?', NUMBER]
SIZES = (1_500, 10_000, 1_000_000)
"""Bytes of a segment: some rotate every few records, some stay open for the whole round."""
PAUSES = (0.0, 0.002, 0.01)
"""Seconds between the records of one thread, so that an adopter comes in between."""
UNSHARE = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--pid", "--fork", "--mount-proc", "--kill-child"]
THREADS = 4
SECONDS = 120


@dataclass(frozen=True)
class _Writer:
    """A process that writes: what it acknowledged so far, and whether it has written all."""

    process: subprocess.Popen[str]

    def acknowledged(self, count: int) -> list[str]:
        """The next ids that it acknowledged, at most so many; fewer if it has no more."""
        assert self.process.stdout is not None
        found: list[str] = []
        while len(found) < count and (line := self.process.stdout.readline().strip()) not in ("", "done"):
            found.append(line)
        return found


def rounds(count: int, seed: int, folder: Path) -> Iterator[Round]:
    """Each round writes while another adopts, kills the writer somewhere in between or lets it end, and counts."""
    for number in range(count):
        yield _round(seed + number, list(SCENES)[(seed + number) % len(SCENES)], folder / f"{seed + number}")


def _round(seed: int, scene: str, folder: Path) -> Round:
    draw, segments = random.Random(seed), folder / "inference" / PROJECT
    segments.mkdir(parents=True)
    store = ProjectStore(PROJECT, folder / "store")
    records, killed = draw.randint(20, 60), draw.random() < 0.5
    size, pause = draw.choice(SIZES), draw.choice(PAUSES)
    writer_inside, adopter_inside = SCENES[scene]
    known: list[str] = []
    with ExitStack() as ended:
        ended.enter_context(_adopter(folder / "store", segments, adopter_inside))
        writers = [
            ended.enter_context(_writer([segments, records, size, pause, f"{seed}-{n}"], writer_inside)) for n in range(2)
        ]
        every = records * THREADS * 2  # each thread a prediction and its feedback
        for writer in writers:
            known += writer.acknowledged(draw.randint(1, every) if killed else every)
            if killed:
                writer.process.kill()
                known += writer.acknowledged(every)  # what it still had acknowledged
        kept = _compare(store, segments, known)  # while open segments may be there
    after = _compare(store, segments, known)
    how = f"segments of {size:,} bytes, {pause:g} s between records, {'killed' if killed else 'not killed'}"
    what = f"seed {seed}: {scene}, {len(known)} records acknowledged, {how}"
    problems = (*kept.problems, *(p for p in after.problems if p not in kept.problems))
    return Round("namespaces", what, max(kept.lost, after.lost), max(kept.doubled, after.doubled), problems)


def _compare(store: ProjectStore, segments: Path, known: list[str]) -> Kept:
    adopt(store, segments, datetime.now(UTC))
    kept = Kept()
    for name, which in (("inference_log", [k for k in known if k[0] != "f"]), ("feedback", [k for k in known if k[0] == "f"])):
        kept.look(f"records of {name}", which, Counter(store.table(name).read(["id"])["id"].to_pylist()))
    return kept


@contextmanager
def _writer(options: list[object], inside: bool) -> Iterator[_Writer]:
    with _started(["write", str(THREADS), *map(str, options)], inside) as process:
        yield _Writer(process)


@contextmanager
def _adopter(root: Path, segments: Path, inside: bool) -> Iterator[None]:
    with _started(["adopt", str(root), PROJECT, str(segments)], inside) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "adopting\n"
        yield
        assert process.poll() is None, f"who adopts ended with {process.returncode}"


@contextmanager
def _started(arguments: list[str], inside: bool) -> Iterator[subprocess.Popen[str]]:
    command = [*([*UNSHARE, *INSIDE] if inside else ()), sys.executable, "-m", "faults.writing", *arguments]
    ours = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    path = os.pathsep.join(filter(None, [*ours, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)
