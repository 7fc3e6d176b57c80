"""Honest clients while others attack: what they notice, and how much memory the endpoint takes."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from . import floods
from .target import ARROWS, LETTERS, NOISES, Target

MOST_BYTES = 700 * 2**20
"""By which one process of the endpoint may grow while it is attacked: a picture or a long sound, decoded, and what waits."""
PAUSE = 0.03
FLOODS = (*floods.WITHOUT_KEY, *floods.WITH_KEY)
TEXT = {"samples": ["The goalie saved the last shot of the game."]}


@dataclass
class Noticed:
    """What an honest client noticed.

    Args:
        seconds: How long each request took that was answered.
        failures: Status and text of each that was not, or the kind of error.
        grown: By how many bytes the process grew that grew most.
    """

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    grown: int = 0

    @property
    def p99(self) -> float:
        """Seconds that 99 of 100 requests did not exceed."""
        return float(np.quantile(self.seconds, 0.99)) if self.seconds else float("inf")


def undisturbed(target: Target, seconds: float) -> Noticed:
    """An honest client alone."""
    noticed = Noticed()
    with _honest(target, noticed):
        time.sleep(seconds)
    return noticed


def disturbed(target: Target, flood: floods.Flood, seconds: float) -> Noticed:
    """An honest client of another project while a flood goes on."""
    name = flood.__name__  # type: ignore[attr-defined]
    noticed, key = Noticed(), ""
    if flood in floods.WITH_KEY:
        key = target.keys[NOISES if flood is floods.sound_bombs else ARROWS]
    attacker = subprocess.Popen(
        [sys.executable, "-m", "security.floods", name, str(target.ports["endpoint"]), str(seconds)],
        cwd=Path(__file__).parents[1],
        env=target.environment | {"KEY": key},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert attacker.stdout is not None
    try:
        assert attacker.stdout.readline() == "attacking\n", f"{name} did not begin"
        with _watched(target, noticed), _honest(target, noticed):
            attacker.wait(seconds + 120)
    finally:
        attacker.kill()
        attacker.wait()
    return noticed


def fell(noticed: Noticed) -> Iterator[str]:
    """What must hold during every flood, besides time: honest requests succeed, memory stays bounded."""
    if noticed.failures:
        total = len(noticed.failures) + len(noticed.seconds)
        yield f"{len(noticed.failures)} of {total} honest requests failed, such as {noticed.failures[0]}"
    if not noticed.seconds:
        yield "no honest request was answered"
    if noticed.grown > MOST_BYTES:
        yield f"a process of the endpoint grew by {noticed.grown >> 20} MB, more than {MOST_BYTES >> 20} MB"


@contextmanager
def _honest(target: Target, noticed: Noticed) -> Iterator[None]:
    """Two clients, one on a connection that it keeps, one that opens a new one each time."""
    ended = threading.Event()

    def ask(client: Callable[[], httpx.Client], keep: bool) -> None:
        own = client()
        while not ended.is_set():
            began = time.monotonic()
            try:
                answer = own.post("/predict", json=TEXT)
                took = time.monotonic() - began
                if answer.status_code == 200:
                    noticed.seconds.append(took)
                else:
                    noticed.failures.append(f"{answer.status_code} after {took:.1f} s: {answer.text[:100]}")
            except httpx.HTTPError as error:
                noticed.failures.append(f"{type(error).__name__} after {time.monotonic() - began:.1f} s")
            if not keep:
                own.close()
                own = client()
            ended.wait(PAUSE)
        own.close()

    made = [threading.Thread(target=ask, args=(lambda: target.client(LETTERS, seconds=40), keep)) for keep in (True, False)]
    for thread in made:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in made:
            thread.join()


@contextmanager
def _watched(target: Target, noticed: Noticed) -> Iterator[None]:
    """Notice by how much each process of the endpoint grows."""
    ended, before = threading.Event(), {process.pid: _bytes(process) for process in target.workers()}

    def watch() -> None:
        while not ended.wait(0.2):
            for process in target.workers():
                noticed.grown = max(noticed.grown, _bytes(process) - before.get(process.pid, 400 * 2**20))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _bytes(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0
