"""Progress and log lines of long work, passed on to registered callbacks, such as the terminal's progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
"""Progress callback: called as (what is counted, number done, total number)."""
Reader = Callable[[str], None]
"""Log callback: called with each line of the log."""

_listeners: list[Listener] = []
_readers: list[Reader] = []


def report(what: str, done: int, total: int) -> None:
    """Report progress to all registered listeners."""
    for listener in _listeners:
        listener(what, done, total)


def log_line(line: str) -> None:
    """Pass a line of the log to all registered readers."""
    for reader in _readers:
        reader(line)


@contextmanager
def listening(listener: Listener, reader: Reader | None = None) -> Iterator[None]:
    """Register a progress callback, and optionally a log callback, for the duration of the block."""
    _listeners.append(listener)
    if reader is not None:
        _readers.append(reader)
    try:
        yield
    finally:
        _listeners.remove(listener)
        if reader is not None:
            _readers.remove(reader)
