"""Kills of the endpoint's workers and of its master under load, while segments rotate and others adopt them."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_assets.state.clock import now

from .acknowledged import application, look
from .rounds import Round
from .served import Served, served, variables, waited

VICTIMS = {"worker": 6, "workers": 2, "master": 2}
"""How often each is chosen: one worker, all workers at once, the process that started them."""
BEFORE_KILL = (0.2, 1.5)
"""Seconds of load before a kill."""
LEAST = 100
"""Records that are acknowledged before the next kill: without load nothing is tried."""


def rounds(count: int, seed: int, folder: Path) -> Iterator[Round]:
    """One kill each, all on one endpoint; the last round looks when everything has ended."""
    draw = random.Random(seed)
    with served(folder) as endpoint:
        endpoint.back(2)
        with (
            adopters(endpoint, 2),
            application(endpoint.url, endpoint.store.project, endpoint.secret, endpoint.classes, seed) as known,
        ):
            for _ in range(count - 1):
                before = len(known)
                loaded = waited(lambda before=before: len(known) >= before + LEAST, 60)
                time.sleep(draw.uniform(*BEFORE_KILL))
                [victim] = draw.choices(list(VICTIMS), list(VICTIMS.values()))
                killed = endpoint.kill(victim, draw.random())
                kept = look(endpoint.store, known.copy(), endpoint.classes, now())
                problems = list(kept.problems)
                if not loaded:
                    problems.append(f"only {len(known) - before} records were acknowledged within 60 s")
                if not killed:
                    problems.append(f"there was no {victim} to kill")
                if not endpoint.back(1):
                    problems.append("no worker came back")
                if victim != "worker" and not endpoint.back(2):
                    problems.append("only one worker came back")
                what = f"seed {seed}: SIGKILL of {victim} ({killed}) after {len(known)} acknowledged records"
                yield Round("endpoint", what, kept.lost, kept.doubled, tuple(problems))
        kept = look(endpoint.store, known, endpoint.classes, now())
    with variables({"ML_ASSETS_HOME": str(endpoint.home)}):  # every worker has ended: what is left is closed
        after = look(endpoint.store, known, endpoint.classes, now())
    none = [f"no {kind} were acknowledged: nothing was tried" for kind, count in known.counts().items() if not count]
    problems = (*kept.problems, *after.problems, *none)
    counts = ", ".join(f"{count} {kind}" for kind, count in known.counts().items())
    what = f"seed {seed}: when the load was over, and when the endpoint was down: {counts}"
    yield Round("endpoint", what, max(kept.lost, after.lost), max(kept.doubled, after.doubled), problems)


@contextmanager
def adopters(endpoint: Served, count: int) -> Iterator[None]:
    """Processes that bring in what waits, again and again, as `run` and the sensors do; they must not fail."""
    command = [sys.executable, "-m", "faults.endpoint", endpoint.store.project]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            ended = process.poll()
            process.kill()
            said = process.communicate()[1].decode(errors="replace")
            assert ended is None, f"who adopts ended with {ended}: {said[-2000:]}"


if __name__ == "__main__":
    from ml_assets.spool.adoption import adopt
    from ml_assets.state.home import home
    from ml_assets.store import ProjectStore

    while True:
        adopt(ProjectStore(sys.argv[1]), home() / "inference" / sys.argv[1], now())
        time.sleep(0.1)
