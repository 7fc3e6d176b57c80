"""How far long work has come, told to whoever listens: the terminal, while a run goes on in its process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
"""Called as (what is counted, how many are done, how many there are)."""
Reader = Callable[[str], None]
"""Called with each line of the work's own log."""

_listeners: list[Listener] = []
_readers: list[Reader] = []


def report(what: str, done: int, total: int) -> None:
    """Tell all listeners."""
    for listener in _listeners:
        listener(what, done, total)


def note(line: str) -> None:
    """Give a line of the log to all readers."""
    for reader in _readers:
        reader(line)


@contextmanager
def listening(listener: Listener, reader: Reader | None = None) -> Iterator[None]:
    """Listen as long as the block runs."""
    _listeners.append(listener)
    if reader is not None:
        _readers.append(reader)
    try:
        yield
    finally:
        _listeners.remove(listener)
        if reader is not None:
            _readers.remove(reader)
