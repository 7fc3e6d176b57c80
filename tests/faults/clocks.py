"""Clocks that jump, of who writes and of who reads: nothing is lost, doubled or stopped by it.

Clocks are arguments of the code, and here they jump in between. The system's clock, from which the kernel's start times of
processes seem to move when it is set, is replaced where psutil reads it.
"""

import contextlib
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import psutil

from ml_assets.deployment import heartbeat
from ml_assets.deployment.rate import RateLimit
from ml_assets.labeling.given import collect_given
from ml_assets.modalities import Text
from ml_assets.services import processes
from ml_assets.services.state import State
from ml_assets.spool import inbox
from ml_assets.spool import writer as segments
from ml_assets.spool.adoption import adopt
from ml_assets.spool.writer import SegmentWriter
from ml_assets.state.clock import now
from ml_assets.store import ProjectStore, ledger
from ml_assets.tasks import SingleChoice

from .acknowledged import Kept
from .rounds import Round
from .served import variables
from .writing import feedback, prediction

PROJECT = "letters"
CLASSES = ("hockey", "space", "med")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
JUMPS: dict[str, Callable[[datetime], datetime]] = {
    "forward a day": lambda at: at + DAY,
    "back an hour": lambda at: at - HOUR,
    "to 1970": lambda at: datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
    "to tomorrow": lambda at: datetime.combine(at.date() + DAY, datetime.min.time(), UTC) + timedelta(seconds=1),
    "forward two days": lambda at: at + 2 * DAY,
}
RECORDS = 12


def rounds(count: int, seed: int, folder: Path) -> Iterator[Round]:
    """Each subject with each jump; again with the next seed when all were tried."""
    every = (each for again in itertools.count(seed) for subject in SUBJECTS for each in tried(subject, again, folder))
    return itertools.islice(every, count)


def tried(subject: str, seed: int, folder: Path) -> Iterator[Round]:
    """One subject with each of the jumps."""
    for jump in JUMPS:
        what = f"seed {seed}: {subject}, {jump}"
        home = folder / what.replace(" ", "-")
        home.mkdir(parents=True)
        with variables({"ML_ASSETS_HOME": str(home)}):
            kept = SUBJECTS[subject](JUMPS[jump], home, random.Random(what))
        yield Round("clocks", what, kept.lost, kept.doubled, tuple(kept.problems))


class _Clock:
    """A clock that jumps at a drawn reading, for good or, half of the time, back again at a later one."""

    def __init__(self, jump: Callable[[datetime], datetime], draw: random.Random):
        self.jump, self.readings = jump, 0
        self.first = draw.randrange(1, RECORDS)
        self.last = draw.choice([draw.randrange(self.first, RECORDS), 10**9])

    def __call__(self) -> datetime:
        self.readings += 1
        return self.jump(now()) if self.first <= self.readings < self.last else now()


@contextlib.contextmanager
def _set(jump: Callable[[datetime], datetime]) -> Iterator[None]:
    """The system's clock was set: psutil tells other start times of the same processes then (7.2), because it adds the ticks
    since the boot to the time of the boot, which the kernel counts back from the clock."""
    moved = psutil.boot_time() + (jump(now()) - now()).total_seconds()
    with mock.patch("psutil._psplatform.boot_time", return_value=moved), mock.patch("psutil.boot_time", return_value=moved):
        yield


def _writer_of_segments(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    clock, store, folder = _Clock(jump, draw), ProjectStore(PROJECT), home / "inference" / PROJECT
    writer = SegmentWriter(folder, max_bytes=1_000, start=lambda: int(clock().timestamp() * 1e9))
    for n in range(RECORDS):
        at = clock()
        writer.append([prediction(f"p{n}", at), feedback(f"f{n}", f"p{n}", at)], at)
        if draw.random() < 0.3:
            adopt(store, folder, now())
    return _whole(store, folder, writer)


def _reader_of_segments(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    clock, store, folder = _Clock(jump, draw), ProjectStore(PROJECT), home / "inference" / PROJECT
    elsewhere = draw.random() < 0.5  # as if another machine wrote on a shared disk
    with mock.patch.object(segments, "boot_id", return_value="f" * 32) if elsewhere else contextlib.nullcontext():
        writer = SegmentWriter(folder, max_bytes=draw.choice([1_000, 1_000_000]))
        for n in range(RECORDS):
            at = now()
            writer.append([prediction(f"p{n}", at), feedback(f"f{n}", f"p{n}", at)], at)
            adopt(store, folder, clock())
        return _whole(store, folder, writer)


def _whole(store: ProjectStore, folder: Path, writer: SegmentWriter) -> Kept:
    """Nothing is lost while the writer holds its segment, nor after it has let go of it."""
    kept = Kept()
    for close in (False, True):
        if close:
            writer.close()
        adopt(store, folder, now())
        for table, letter in (("inference_log", "p"), ("feedback", "f")):
            found = Counter(store.table(table).read(["id"])["id"].to_pylist())
            kept.look(f"records of {table}", [f"{letter}{n}" for n in range(RECORDS)], found)
    return kept


def _heartbeats(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    clock, serving, kept = _Clock(jump, draw), home / "serving", Kept()
    for _ in range(RECORDS):
        at = clock()
        heartbeat.write(serving, at, {})
        heartbeat.forget_dead(serving, at)
        if len(heartbeat.live(serving, at)) != 1:
            kept.problems.append(f"a worker that has just written at {at:%Y-%m-%d %H:%M} counts as dead")
            break
    return kept


def _start_times(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    """A worker lives on when the clock is set, and its segment is open."""
    kept, serving, store = Kept(), home / "serving", ProjectStore(PROJECT)
    heartbeat.write(serving, now(), {})
    folder = home / "inference" / PROJECT
    writer = SegmentWriter(folder)
    writer.append([prediction("p0", now())], now())
    with _set(jump):
        if len(heartbeat.live(serving, now())) != 1:
            kept.problems.append("a worker that lives counts as dead after the clock was set")
        adopt(store, folder, now())
    writer.append([prediction("p1", now())], now())
    writer.close()
    adopt(store, folder, now())
    kept.look("records", ["p0", "p1"], Counter(store.table("inference_log").read(["id"])["id"].to_pylist()))
    return kept


SUPERVISOR = "from ml_assets.services.state import State; State.begin([]); print(flush=True); input()"


def _supervisor(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    """The supervisor is found again after the clock was set: else `up` would end all servers and start them anew."""
    kept, marked = Kept(), {**os.environ, **processes.mark("supervisor")}
    command = [sys.executable, "-c", SUPERVISOR]
    with subprocess.Popen(command, env=marked, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with _set(jump):
            state = State.read()
            if state is None or state.supervisor() is None:
                kept.problems.append("the supervisor lives and counts as dead after the clock was set")
        process.kill()
    return kept


def _runs(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    """A run whose process lives is not taken for dead because the clock was set."""
    import dagster as dg

    from ml_assets.orchestration.dead_runs import boot_id, fail_runs_of_dead_processes

    kept = Kept()
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"ml_assets/project": PROJECT, "ml_assets/pid": str(os.getpid()), "ml_assets/boot": boot_id()}

        @dg.job
        def nothing() -> None:
            pass

        run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
        with _set(jump):
            if fail_runs_of_dead_processes(instance, PROJECT):
                kept.problems.append(f"run {run.run_id} was failed though its process lives")
    return kept


def _ledger(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    clock, store, kept = _Clock(jump, draw), ProjectStore(PROJECT), Kept()
    for n in range(RECORDS // 2):
        made = ledger.request(store, f"{PROJECT}-{n}", f"{PROJECT}:{n}", "a test", clock())
        ledger.mark(store, made, "live", clock())
    rows = ledger.history(store)
    kept.look("deployments", [f"{PROJECT}-d{n + 1}" for n in range(RECORDS // 2)], Counter(row.id for row in rows))
    live = [row.id for row in rows if row.state == "live"]
    if live != [made]:
        kept.problems.append(f"{live} are live, the last one that was deployed is {made}")
    from ml_assets.commands.status import _serving

    shown = _serving(store)
    if not shown or shown["model"] != rows[-1].model:
        kept.problems.append(f"status tells that {shown} serves, it is {rows[-1].model}")
    return kept


def _partitions(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    """A prediction with another date stops no day's profile, its own day neither unless it never was."""
    from ml_assets.monitoring.assets import DAYS
    from ml_assets.monitoring.traffic import profile_day, stale_days

    clock, store, folder, kept = _Clock(jump, draw), ProjectStore(PROJECT), home / "inference" / PROJECT, Kept()
    with contextlib.closing(SegmentWriter(folder)) as writer:
        for n in range(RECORDS):
            at = clock()
            writer.append([prediction(f"p{n}", at)], at)
        adopt(store, folder, now())
    found = Counter(store.table("inference_log").read(["id"])["id"].to_pylist())
    kept.look("predictions", [f"p{n}" for n in range(RECORDS)], found)
    days = stale_days(store)
    wrong = [day for day in days if not DAYS.has_partition_key(day)]
    if wrong:
        kept.problems.append(f"{wrong[0]} is to be profiled and is no partition: every run of monitoring would end there")
    for day in days:
        profile_day(store, day, Text(), now())
    today = f"{now():%Y-%m-%d}"
    if today in days and today not in store.table("profiles").read(["day"])["day"].to_pylist():
        kept.problems.append("today has no profile")
    return kept


def _rates(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    """A limit of 60 a minute lets 60 pass at once, wherever the clock jumps to."""
    kept, limit = Kept(), RateLimit()
    for n in range(60):
        with mock.patch("time.time", return_value=jump(now()).timestamp()) if n % 2 else contextlib.nullcontext():
            if limit.wait("key", 60):
                kept.problems.append(f"request {n + 1} of 60 had to wait")
                return kept
    with mock.patch("time.time", return_value=jump(now()).timestamp()):
        if not limit.wait("key", 60):
            kept.problems.append("request 61 of 60 passed")
    return kept


def _order_of_labels(jump: Callable[[datetime], datetime], home: Path, draw: random.Random) -> Kept:
    """Of two answers of one labeler the one that came last counts, whatever the clock said then."""
    kept, store, task = Kept(), ProjectStore(PROJECT), SingleChoice(classes=CLASSES)
    texts = [f"text {n}" for n in range(RECORDS)]
    for text in texts:
        clock = _Clock(jump, draw)
        clock.first, clock.last = (2, 10**9) if draw.random() < 0.5 else (1, 2)  # forth or back between the two
        for label in ("hockey", "space"):
            sent = {"content": text, "label": label, "labeler": "application", "client": "application"}
            inbox.write(PROJECT, "labels", [sent | {"received_at": clock().isoformat()}])
    collect_given(store, inbox.folder(PROJECT, "labels"), task, Text(), now())
    values = store.table("given_labels").read(["value"])["value"].to_pylist()
    kept.look("labels", range(RECORDS), Counter(range(len(values))))
    if older := values.count("hockey"):
        kept.problems.append(f"{older} of {RECORDS} labels are the answer that came first")
    return kept


SUBJECTS: dict[str, Callable[[Callable[[datetime], datetime], Path, random.Random], Kept]] = {
    "who writes segments": _writer_of_segments,
    "who adopts segments": _reader_of_segments,
    "heartbeats": _heartbeats,
    "start times of processes": _start_times,
    "the supervisor": _supervisor,
    "runs of living processes": _runs,
    "the ledger": _ledger,
    "days of monitoring": _partitions,
    "limits of rates": _rates,
    "the order of labels": _order_of_labels,
}
