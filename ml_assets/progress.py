"""How far long work has come, told to whoever listens: the terminal, while a run goes on in its process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
"""Called as (what is counted, how many are done, how many there are)."""

_listeners: list[Listener] = []


def report(what: str, done: int, total: int) -> None:
    """Tell all listeners."""
    for listener in _listeners:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Listen as long as the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
