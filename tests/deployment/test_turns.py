"""Threads that projects share: by measured time, whoever has used them least goes next."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from ml_assets.deployment.turns import SharedThreads


class Clock:
    """Time that only works move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> Iterator[SharedThreads]:
    made = SharedThreads("test", clock=clock)
    yield made
    made.shutdown()


def queued(shared: SharedThreads, submit: Callable[[], list["Future[None]"]]) -> None:
    """Submit works while the thread is busy, and wait for all of them."""
    free = threading.Event()
    first = shared.of("nobody").submit(free.wait)
    works = submit()
    free.set()
    for work in (first, *works):
        work.result(30)


def test_a_heavy_project_has_one_turn_for_as_many_of_a_light_one_as_take_the_same_time(
    shared: SharedThreads, clock: Clock
) -> None:
    order: list[str] = []

    def work(name: str, seconds: float) -> None:
        order.append(name)
        clock.now += seconds

    def submit() -> list["Future[None]"]:
        heavy = [shared.of("heavy").submit(work, "heavy", 1.0) for _ in range(4)]
        return heavy + [shared.of("light").submit(work, "light", 0.1) for _ in range(20)]

    queued(shared, submit)
    assert order[0] == "heavy"
    assert order[1:11] == ["light"] * 10
    assert order.count("heavy") == 4
    assert [order.index("heavy", 1), order[12:].count("light")] == [11, 10]


def test_who_was_idle_has_not_saved_up_a_share(shared: SharedThreads, clock: Clock) -> None:
    order: list[str] = []

    def work(name: str) -> None:
        order.append(name)
        clock.now += 1.0

    for _ in range(20):
        shared.of("old").submit(work, "old").result(30)
    order.clear()
    queued(shared, lambda: [shared.of(name).submit(work, name) for name in ["old"] * 3 + ["new"] * 3])
    assert order[:4].count("new") <= 2


def test_keys_of_one_project_take_turns_too(shared: SharedThreads, clock: Clock) -> None:
    order: list[str] = []

    def work(name: str) -> None:
        order.append(name)
        clock.now += 1.0

    queued(shared, lambda: [shared.of("one", key).submit(work, key) for key in ["eager"] * 10 + ["other"] * 2])
    assert order[:4].count("other") == 2


def test_one_project_leaves_a_thread_to_the_others() -> None:
    shared, free = SharedThreads("test", threads=2, of_one=1), threading.Event()
    bombs = [shared.of("bombs").submit(free.wait, 60) for _ in range(5)]
    assert shared.of("honest").submit(lambda: "answered").result(30) == "answered"
    assert shared.wanted_by_others("honest")
    assert shared.wanted_by_others("bombs"), "an honest one asks again at any moment"
    free.set()
    for bomb in bombs:
        assert bomb.result(30)
    shared.shutdown()


def test_errors_are_those_of_their_work_and_what_was_given_up_is_never_run(shared: SharedThreads) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise ValueError("13 brings bad luck")

    def submit() -> list["Future[None]"]:
        with pytest.raises(ValueError, match="bad luck"):
            (failing := SharedThreads("other")).of("a").submit(fail).result(30)
        failing.shutdown()
        given_up, kept = (shared.of("a").submit(ran.append, name) for name in ("given up", "kept"))
        assert given_up.cancel()
        return [kept]

    queued(shared, submit)
    assert ran == ["kept"]


def test_the_end_gives_up_what_waits() -> None:
    shared, free, started = SharedThreads("test"), threading.Event(), threading.Event()
    shared.of("a").submit(lambda: started.set() or free.wait(60))
    while not started.is_set():
        time.sleep(0.001)
    waiting = shared.of("a").submit(print)
    threading.Timer(0.05, free.set).start()
    shared.shutdown()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="ended"):
        shared.of("a").submit(print)
