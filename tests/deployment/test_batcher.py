import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.deployment.batcher import SHORT_RUN, Batcher, Busy, Finished, TooSlow


class Model:
    """Doubles numbers; refuses 13; stops at `gate` while it is closed."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, items: Sequence[int]) -> list[int]:
        self.runs.append(list(items))
        assert self.gate.wait(30)
        if 13 in items:
            raise ValueError("13 brings bad luck")
        return [2 * i for i in items]


def settle(finished: Sequence[Finished[int, int, str]]) -> list[tuple[str, list[int]]]:
    assert all(f.results == [2 * i for i in f.items] for f in finished)
    return [(f.context, list(f.results)) for f in finished]


def run(work: Any) -> Any:
    """Run `work(model, make)`; `make` makes batchers of the model."""

    async def inside() -> Any:
        model = Model()
        with ThreadPoolExecutor(1) as executor:
            try:
                return await work(model, lambda **options: Batcher(model.run, settle, executor, **options))
            finally:
                model.gate.set()

    return asyncio.run(inside())


@settings(deadline=None, max_examples=60)
@given(
    requests=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=1, max_size=12),
    max_items=st.integers(1, 16),
)
def test_everybody_gets_their_own_answers_and_only_the_guilty_fail(requests: list[list[int]], max_items: int) -> None:
    async def work(model: Model, make: Any) -> list[Any]:
        batcher = make(max_items=max_items)
        jobs: list[Coroutine[Any, Any, Any]] = [batcher.submit(items, str(n)) for n, items in enumerate(requests)]
        answers = await asyncio.gather(*jobs, return_exceptions=True)
        assert all(len(r) <= max_items for r in model.runs)
        assert batcher.waiting == 0
        return answers

    for n, (items, answer) in enumerate(zip(requests, run(work), strict=True)):
        if 13 in items:
            assert isinstance(answer, ValueError)
        else:
            assert answer == (str(n), [2 * i for i in items])


def test_a_lone_request_is_run_at_once_and_those_that_come_meanwhile_together() -> None:
    async def work(model: Model, make: Any) -> list[list[int]]:
        batcher = make(max_items=8)
        model.gate.clear()
        first = asyncio.create_task(batcher.submit([1], "a"))
        while not model.runs:  # it is in the model although nobody else has come
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher.submit([n], "b")) for n in range(2, 7)]
        await asyncio.sleep(0.01)
        model.gate.set()
        await asyncio.gather(first, *others)
        return model.runs

    assert run(work) == [[1], [2, 3, 4, 5, 6]]


def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    async def work(model: Model, make: Any) -> list[str]:
        batcher, order = make(max_items=4), []

        async def one(items: list[int], name: str) -> None:
            await batcher.submit(items, name)
            order.append(name)

        await asyncio.gather(one([0] * 100, "large"), one([1], "small"))
        return order

    assert run(work) == ["small", "large"]


def test_a_full_queue_refuses_and_works_on() -> None:
    async def work(model: Model, make: Any) -> Any:
        batcher = make(max_waiting=5)
        model.gate.clear()
        first = asyncio.create_task(batcher.submit([1], "a"))
        while not model.runs:
            await asyncio.sleep(0.001)
        second = asyncio.create_task(batcher.submit([2] * 5, "b"))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await batcher.submit([3], "c")
        model.gate.set()
        await asyncio.gather(first, second)
        return await batcher.submit([3], "c")

    assert run(work) == ("c", [6])


def test_a_late_answer_is_given_up_and_its_waiting_items_are_never_run() -> None:
    async def work(model: Model, make: Any) -> list[list[int]]:
        batcher = make(seconds=0.05)
        model.gate.clear()
        late = [asyncio.create_task(batcher.submit([n], "a")) for n in (1, 2)]
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert [type(o) for o in outcomes] == [TooSlow, TooSlow]
        model.gate.set()
        assert await batcher.submit([3], "b") == ("b", [6])
        return [r for r in model.runs if 3 in r or r == [2]]

    assert run(work) == [[3]]


def test_a_client_does_not_wait_for_all_that_another_one_sends() -> None:
    async def work(model: Model, make: Any) -> int:
        batcher = make(max_items=4)
        model.gate.clear()
        first = asyncio.create_task(batcher.submit([0], "eager"))
        while not model.runs:
            await asyncio.sleep(0.001)
        eager = [asyncio.create_task(batcher.submit([n] * 4, "eager")) for n in range(1, 12)]
        other = asyncio.create_task(batcher.submit([20, 21, 22, 23], "other"))
        await asyncio.sleep(0.01)
        model.gate.set()
        await other
        runs = len(model.runs)
        await asyncio.gather(first, *eager)
        return runs

    assert run(work) <= 4, "half of each run is of the other"


@settings(deadline=None, max_examples=40)
@given(clients=st.lists(st.integers(1, 6), min_size=1, max_size=12), max_items=st.integers(1, 5))
def test_nobody_is_passed_over_more_than_once_by_each_other_one(clients: list[int], max_items: int) -> None:
    async def work(model: Model, make: Any) -> None:
        batcher = make(max_items=max_items)
        model.gate.clear()
        jobs = [asyncio.create_task(batcher.submit([n] * size, str(n))) for n, size in enumerate(clients)]
        await asyncio.sleep(0.01)
        model.gate.set()
        await asyncio.gather(*jobs)
        given = [item for items in model.runs[1:] for item in items]
        for n, size in enumerate(clients):
            places = [place for place, item in enumerate(given) if item == n]
            assert all(later - earlier <= 2 * len(clients) for earlier, later in pairwise(places)), (n, size)

    run(work)


def test_a_heavy_item_is_run_alone_and_runs_are_short_while_others_wait() -> None:
    async def work(model: Model, make: Any) -> list[list[int]]:
        heavy = make(max_items=4, weigh=float)
        await heavy.submit([9, 9, 1, 1, 2, 1], "a")
        whole, model.runs = model.runs, []
        hurried = make(max_items=4, hurried=lambda: True)
        hurried._pace = SHORT_RUN / 2
        await hurried.submit([1, 2, 3, 4], "a")
        assert [len(items) for items in model.runs[:1]] == [2]
        return whole

    assert run(work) == [[9], [9], [1, 1, 2], [1]]
