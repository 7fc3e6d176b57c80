"""Micro-batching: requests that arrive while the model is busy share its next run; an idle model runs at once."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ml_assets.errors import MLAssetsError

T = TypeVar("T")  # type of an item
R = TypeVar("R")  # type of the model's result for one item
C = TypeVar("C", bound=Hashable)  # type of a request's context, which identifies the client
A = TypeVar("A")  # type of the answer to a request


SHORT_RUN = 0.05
"""Target duration of a run in seconds while several clients or projects need the model's thread."""


class Busy(MLAssetsError, RuntimeError):
    """Raised when too many items are waiting already."""


class TooSlow(MLAssetsError, RuntimeError):
    """Raised when a request is not answered within its time limit."""


@dataclass(frozen=True)
class Finished(Generic[T, R, C]):
    """A request whose items are all predicted."""

    items: Sequence[T]
    results: Sequence[R]
    context: C


@dataclass(eq=False)
class _Request(Generic[T, R, C, A]):
    items: Sequence[T]
    context: C
    answer: "asyncio.Future[A]"
    taken: int = 0
    results: list[R] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Share(Generic[T, R, C, A]):
    """The items of one request that go into one run."""

    request: _Request[T, R, C, A]
    items: Sequence[T]


class Batcher(Generic[T, R, C, A]):
    """Combines the items of many requests into few runs of the model.

    A run holds at most `max_items`, shared fairly between those who ask and between the requests of each, so that a small
    request does not wait for all of a large one, nor for all that another client sends. If a run fails, each request in it is
    tried by itself: only those at fault fail.

    Args:
        run: The model: `n` items in, `n` results out.
        settle: Called once per run with the requests that it finished; returns their answers. Both run in `executor`.
        executor: Runs both; one thread, which batchers may share.
        max_items: Items per run.
        max_waiting: Items that may wait; more raise `Busy`.
        seconds: Time limit of a request, waiting included; later ones raise `TooSlow`.
        weigh: For how many ordinary items an item counts in a run; one that is heavier than `max_items` is run alone.
        hurried: Whether others need the thread: runs are then cut to about `SHORT_RUN`, by what the last ones took.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        settle: Callable[[Sequence[Finished[T, R, C]]], Sequence[A]],
        executor: Executor,
        max_items: int = 32,
        max_waiting: int = 4096,
        seconds: float = 30.0,
        weigh: Callable[[T], float] = lambda _: 1.0,
        hurried: Callable[[], bool] = lambda: False,
    ):
        self._run, self._settle, self._executor = run, settle, executor
        self._weigh, self._hurried = weigh, hurried
        self._pace = 0.0  # recent average seconds per ordinary item
        self._turns: dict[C, int] = {}  # of waiting clients: number of the run that last served them
        self._runs = 0
        self.max_items, self.max_waiting, self.seconds = max_items, max_waiting, seconds
        self._queue: deque[_Request[T, R, C, A]] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of items that no run has taken yet."""
        return sum(len(r.items) - r.taken for r in self._queue if not r.answer.done())

    async def submit(self, items: Sequence[T], context: C) -> A:
        """Wait for the answer for these items (at least one). Raises `Busy`, `TooSlow`, or what the model raised for them."""
        if self.waiting + len(items) > self.max_waiting:
            raise Busy(f"{self.waiting} samples are waiting already")
        request: _Request[T, R, C, A] = _Request(items, context, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(self.seconds):
                return await request.answer
        except TimeoutError as error:
            raise TooSlow(f"no answer within {self.seconds:g} seconds") from error

    async def _work(self) -> None:
        while shares := self._next_run():
            failed = await self._attempt(shares)
            if failed is None:
                continue
            for share in shares:
                error = failed if len(shares) == 1 else await self._attempt([share])
                if error is not None and not share.request.answer.done():
                    share.request.answer.set_exception(error)

    def _next_run(self) -> list[_Share[T, R, C, A]]:
        """Choose the items of the next run, up to `max_items`: in turn from each client and from each of its requests."""
        waiting = [r for r in self._queue if not r.answer.done()]  # all other requests timed out, failed or were cancelled
        lines: dict[C, deque[_Request[T, R, C, A]]] = {}
        for request in waiting:
            lines.setdefault(request.context, deque()).append(request)
        self._turns = {context: self._turns.get(context, 0) for context in lines}
        self._runs += 1
        taken: dict[_Request[T, R, C, A], int] = {}
        room, turn = self._room(len(lines)), deque(sorted(lines, key=lambda context: self._turns[context]))
        while turn:
            line = lines[turn[0]]
            request = line[0]
            weight = max(1.0, self._weigh(request.items[request.taken + taken.get(request, 0)]))
            if taken and weight > room:
                break
            room -= weight
            taken[request] = taken.get(request, 0) + 1
            self._turns[request.context] = self._runs
            line.rotate(-1)
            if request.taken + taken[request] == len(request.items):
                line.pop()
            turn.rotate(-1)
            if not line:
                turn.pop()
        shares = [_Share(r, r.items[r.taken : r.taken + taken[r]]) for r in waiting if r in taken]
        for request, count in taken.items():
            request.taken += count
        served = [r for r in waiting if r in taken]
        self._queue = deque(r for r in [*(r for r in waiting if r not in taken), *served] if r.taken < len(r.items))
        return shares

    def _room(self, clients: int) -> float:
        """Capacity of the next run in ordinary items, given the number of clients that wait."""
        if not self._pace or (clients <= 1 and not self._hurried()):
            return self.max_items
        return min(self.max_items, max(1.0, SHORT_RUN / self._pace))

    async def _attempt(self, shares: Sequence[_Share[T, R, C, A]]) -> BaseException | None:
        """Run the model on the shares and answer the completed requests; return the exception if it failed, else None."""
        [outcome] = await asyncio.gather(
            asyncio.get_running_loop().run_in_executor(self._executor, self._in_thread, shares), return_exceptions=True
        )
        if isinstance(outcome, BaseException):
            return outcome
        for request, answer in outcome:
            if not request.answer.done():
                request.answer.set_result(answer)
        return None

    def _in_thread(self, shares: Sequence[_Share[T, R, C, A]]) -> list[tuple[_Request[T, R, C, A], A]]:
        items = [item for share in shares for item in share.items]
        began = time.perf_counter()
        results = self._run(items)
        pace = (time.perf_counter() - began) / sum(max(1.0, self._weigh(item)) for item in items)
        self._pace = pace if not self._pace else (self._pace + pace) / 2
        start, complete = 0, []
        for share in shares:
            done = [*share.request.results, *results[start : start + len(share.items)]]
            start += len(share.items)
            complete.append((share.request, done))
        finished = [(request, done) for request, done in complete if len(done) == len(request.items)]
        answers = self._settle([Finished(r.items, done, r.context) for r, done in finished]) if finished else []
        for request, done in complete:  # at the end, so that an error above leaves all requests unchanged
            request.results = done
        return [(request, answer) for (request, _), answer in zip(finished, answers, strict=True)]
