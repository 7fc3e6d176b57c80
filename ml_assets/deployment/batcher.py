"""Micro-batching: requests that come while the model is busy share its next run. An idle model never waits for company."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ml_assets.errors import MLAssetsError

T = TypeVar("T")  # an item
R = TypeVar("R")  # what the model says of one item
C = TypeVar("C")  # what the caller wants to know again of a request
A = TypeVar("A")  # the answer to a request


class Busy(MLAssetsError, RuntimeError):
    """Too much is waiting already."""


class TooSlow(MLAssetsError, RuntimeError):
    """The answer did not come in time."""


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
    """Puts the items of many requests into few runs of the model.

    A run holds at most `max_items`, shared fairly between the requests that wait, so that a small request does not wait for
    all of a large one. If a run fails, each request in it is tried by itself: only those at fault fail.

    Args:
        run: The model: `n` items in, `n` results out.
        settle: Called once per run with the requests that it finished; returns their answers. Both run in `executor`.
        executor: Where they run; one thread, which batchers may share.
        max_items: Items per run.
        max_waiting: Items that may wait; more raise `Busy`.
        seconds: Time limit of a request, waiting included; later ones raise `TooSlow`.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        settle: Callable[[Sequence[Finished[T, R, C]]], Sequence[A]],
        executor: Executor,
        max_items: int = 32,
        max_waiting: int = 4096,
        seconds: float = 30.0,
    ):
        self._run, self._settle, self._executor = run, settle, executor
        self.max_items, self.max_waiting, self.seconds = max_items, max_waiting, seconds
        self._queue: deque[_Request[T, R, C, A]] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Items that no run has taken yet."""
        return sum(len(r.items) - r.taken for r in self._queue if not r.answer.done())

    async def submit(self, items: Sequence[T], context: C) -> A:
        """The answer for these items (at least one). Raises `Busy`, `TooSlow`, or what the model raised for them."""
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
        """Up to `max_items` items: an equal share for each request, in the order in which they came."""
        waiting = [r for r in self._queue if not r.answer.done()]  # the others timed out, failed or hung up
        self._queue = deque(waiting)
        room, shares = self.max_items, []
        for behind in range(len(waiting), 0, -1):
            if room == 0:
                break
            request = self._queue.popleft()
            count = min(len(request.items) - request.taken, math.ceil(room / behind))
            shares.append(_Share(request, request.items[request.taken : request.taken + count]))
            request.taken += count
            room -= count
            if request.taken < len(request.items):
                self._queue.append(request)
        return shares

    async def _attempt(self, shares: Sequence[_Share[T, R, C, A]]) -> BaseException | None:
        """Run the model over the shares and answer the requests that are complete; the exception if it failed."""
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
        results = self._run([item for share in shares for item in share.items])
        start, complete = 0, []
        for share in shares:
            done = [*share.request.results, *results[start : start + len(share.items)]]
            start += len(share.items)
            complete.append((share.request, done))
        finished = [(request, done) for request, done in complete if len(done) == len(request.items)]
        answers = self._settle([Finished(r.items, done, r.context) for r, done in finished]) if finished else []
        for request, done in complete:  # only now: a failure above leaves every request as it was
            request.results = done
        return [(request, answer) for (request, _), answer in zip(finished, answers, strict=True)]
