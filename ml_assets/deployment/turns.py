"""Threads that projects share fairly: the project that has used them least goes next, so that none blocks the others."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ml_assets.errors import Failed

R = TypeVar("R")
RECENT = 2.0
"""Seconds after its last request during which a project still counts as a user of the threads."""


@dataclass(eq=False)
class _Line:
    """The queue of one project, or of one of its keys, with the seconds that it has used."""

    used: float = 0.0
    running: int = 0
    waiting: int = 0
    asked: float = 0.0
    keys: "dict[str, _Line]" = field(default_factory=dict)
    works: "deque[tuple[Future[Any], Callable[[], Any]]]" = field(default_factory=deque)


class SharedThreads:
    """A few threads, shared fairly by measured time (start-time fair queueing, Goyal et al. 1996); work is not interrupted.

    An idle project does not save up its share; within a project the same holds for its keys.

    Args:
        name: Name prefix of the threads.
        threads: Number of threads.
        of_one: Maximum number of threads that one project may use at a time.
        niceness: Niceness added to the threads, 0 to 19.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self, name: str, threads: int = 1, of_one: int = 1, niceness: int = 0, clock: Callable[[], float] = time.perf_counter
    ):
        self.of_one, self._niceness, self._clock = of_one, niceness, clock
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._now = 0.0  # used time of the project that was chosen last
        self._ended = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def of(self, project: str, key: str = "") -> Executor:
        """An executor for work of this project on behalf of this key."""
        return _Share(self, project, key)

    def wanted_by_others(self, project: str) -> bool:
        """Whether another project has queued or running work, or had some less than `RECENT` seconds ago."""
        with self._changed:
            others = (line for name, line in self._lines.items() if name != project)
            return any(o.waiting or o.running or self._clock() - o.asked < RECENT for o in others)

    def shutdown(self) -> None:
        """Finish running work, cancel queued work, and end the threads."""
        with self._changed:
            self._ended = True
            for line in self._lines.values():
                for own in line.keys.values():
                    for future, _ in own.works:
                        future.cancel()
                    own.works.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, project: str, key: str, work: Callable[[], R]) -> "Future[R]":
        """Queue work and return its future. Raises `RuntimeError` after `shutdown`."""
        future: Future[R] = Future()
        with self._changed:
            if self._ended:
                raise Failed("the threads have ended")
            line = self._lines.setdefault(project, _Line())
            own = line.keys.setdefault(key, _Line())
            if not line.waiting and not line.running:
                line.used = max(line.used, self._now)
            if not own.waiting and not own.running:
                own.used = max(own.used, min((k.used for k in line.keys.values() if k.waiting or k.running), default=own.used))
            line.waiting, own.waiting, line.asked = line.waiting + 1, own.waiting + 1, self._clock()
            own.works.append((future, work))
            self._changed.notify()
        return future

    def _work(self) -> None:
        if self._niceness:
            with suppress(OSError):  # not supported on systems without thread priorities
                usual = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, usual + self._niceness))
        while (chosen := self._choose()) is not None:
            line, own, future, work = chosen
            start = self._clock()
            if future.set_running_or_notify_cancel():
                with _Failing(future):
                    future.set_result(work())
            self._give_back(line, own, self._clock() - start)
            del chosen, future, work  # free the memory before waiting for the next piece of work

    def _choose(self) -> "tuple[_Line, _Line, Future[Any], Callable[[], Any]] | None":
        """Wait for the next piece of work; return None after `shutdown`."""
        with self._changed:
            while not self._ended:
                lines = [line for line in self._lines.values() if line.waiting and line.running < self.of_one]
                if lines:
                    line = min(lines, key=lambda line: line.used)
                    own = min((key for key in line.keys.values() if key.waiting), key=lambda key: key.used)
                    self._now = max(self._now, line.used)
                    for one in (line, own):
                        one.waiting, one.running = one.waiting - 1, one.running + 1
                    return line, own, *own.works.popleft()
                self._changed.wait()
            return None

    def _give_back(self, line: _Line, own: _Line, seconds: float) -> None:
        with self._changed:
            for one in (line, own):
                one.running, one.used = one.running - 1, one.used + seconds
            for name in [n for n, k in line.keys.items() if not k.waiting and not k.running and k is not own]:
                del line.keys[name]  # idle keys save up nothing, so they can be forgotten
            self._changed.notify_all()


class _Failing:
    """A context that sets an exception raised in it as the result of the future, as executors do."""

    def __init__(self, future: "Future[Any]"):
        self._future = future

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            self._future.set_exception(error)
        return True


class _Share(Executor):
    """An executor that queues work for one project and key."""

    def __init__(self, threads: SharedThreads, project: str, key: str):
        self._shared, self._project, self._key = threads, project, key

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> "Future[R]":
        """Queue a call and return its future."""
        return self._shared.put(self._project, self._key, lambda: fn(*args, **kwargs))
