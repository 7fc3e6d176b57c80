"""Many requests and many media files to which anything has happened: nothing fails, nothing hangs, memory stays bounded."""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from . import media
from .grammar import make
from .target import ARROWS, LETTERS, NOISES, Target
from .wire import exchange

CONNECTIONS = 8
SECONDS = 60.0
"""After which a request that is not answered hangs; the endpoint itself gives one 30 for its body and 30 for the rest."""
Tick = Callable[[int], object]


def requests(target: Target, count: int, seed: int, tick: Tick = lambda _: None) -> Iterator[str]:
    """No request makes the endpoint fail: none is answered with a 5xx but 503, none hangs, every refusal has the same shape."""
    before = sorted(process.pid for process in target.workers())
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        running: set[Future[str | None]] = set()
        for number in range(count):
            running.add(pool.submit(_try, target, f"{seed}-{number}"))
            if len(running) >= 4 * CONNECTIONS:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                tick(len(done))
                yield from filter(None, (each.result() for each in done))
        yield from filter(None, (each.result() for each in running))
        tick(len(running))
    after = sorted(process.pid for process in target.workers())
    if after != before:
        yield f"processes of the endpoint ended: {before} became {after}"
    answer = target.client(LETTERS).post("/predict", json={"samples": ["The goalie saved it."]})
    if answer.status_code != 200:
        yield f"afterwards a prediction is answered {answer.status_code}: {answer.text[:100]}"


def collect_what_was_taken(target: Target) -> Iterator[str]:
    """What the endpoint acknowledged can be collected: one bad record does not stop a project."""
    for project in (LETTERS, ARROWS, NOISES):
        done = subprocess.run(
            [sys.executable, "-m", "security.collector", project], cwd=Path(__file__).parents[1], env=target.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            yield f"{project}: what was pushed cannot be collected ({done.returncode}): {done.stderr[-400:]}"


def files(count: int, seed: int, tick: Tick = lambda _: None, each: int = 250) -> Iterator[str]:
    """No media file crashes collection or makes it take much memory: it becomes a sample or a reject with a reason.

    Args:
        count: How many mutated files.
        seed: Of the first.
        tick: Told how many more are done.
        each: How many one process collects.
    """
    for first in range(0, count, each):
        kinds, modality = (media.PICTURES, "image") if (first // each) % 2 == 0 else (media.SOUNDS, "audio")
        numbers = range(first, min(first + each, count))
        made = {f"{n:06}": media.mutated(random.Random(f"{seed}-{n}"), kinds) for n in numbers}
        for problem in _collect(modality, made):
            yield f"files {numbers.start} to {numbers.stop} of seed {seed} ({modality}): {problem}"
        tick(len(numbers))


def bombs() -> Iterator[str]:
    """Files that are small and ask for much are collected or rejected in bounded memory, too."""
    for modality, made in (("image", media.bombs()), ("audio", media.sound_bombs())):
        for problem in _collect(modality, made):
            yield f"{modality}: {problem}"


def _collect(modality: str, made: dict[str, bytes]) -> Iterator[str]:
    """What goes wrong when a process collects these files."""
    with tempfile.TemporaryDirectory(prefix="ml-assets-files-") as folder:
        for name, content in made.items():
            (Path(folder) / name.replace(" ", "_")).write_bytes(content)
        done = subprocess.run(
            [sys.executable, "-m", "security.collector", modality, folder], cwd=Path(__file__).parents[1],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        yield f"ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['nothing'])[-1][:300]}"


def _try(target: Target, seed: str) -> str | None:
    """What is wrong with the answer."""
    asked = make(target, seed)
    try:
        status, _, body = exchange(target.ports["endpoint"], asked.request, SECONDS)
    except TimeoutError:
        return f"{seed}: no answer within {SECONDS:g} s to {asked.request[:100]!r}"
    if problem := wrong(status, body, asked.whole, asked.request.startswith(b"HEAD")):
        return f"{seed}: {problem}, to {asked.request[:100]!r}"
    return None


def wrong(status: int, body: bytes, whole: bool, head: bool) -> str | None:
    """What is wrong with an answer, in a few words."""
    if status == 0:
        return "the connection was closed without an answer" if whole else None
    if status >= 500 and status != 503:
        return f"answered {status}: {body[:100]!r}"
    if b"Traceback" in body:
        return "a traceback was answered"
    if status >= 400 and not head:
        try:
            told = json.loads(body)
        except ValueError:
            return f"answered {status} and no JSON: {body[:100]!r}"
        if not isinstance(told, dict) or not isinstance(told.get("error"), str) or told.keys() - {"error", "detail"}:
            return f"answered {status} in another shape: {body[:100]!r}"
    return None
