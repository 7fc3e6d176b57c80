"""Ctrl-C that is not lost: whoever catches it, swallows it or turns it into something else, the block around it ends with it.

Dagster replaces the handler of the signal while it runs, and forgets one that comes between two steps; a library may catch
it, or it may come where Python prints exceptions and goes on. The interpreter itself notes each signal before any handler is
called (`signal.set_wakeup_fd`): that note is what counts here, and as long as the work goes on, it is interrupted again.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = {signal.SIGINT, signal.SIGTERM}
"""Dagster makes the second do what the first does."""
AGAIN_SECONDS = 5.0
"""How long work that was interrupted may go on, to end well, before it is interrupted again."""


def unignore() -> None:
    """Make this process interruptible again, where it was started in the background of a script, which ignores interrupts.

    Dagster makes SIGTERM do what SIGINT does. Ignored, it would be inherited by the helper processes of a run, which then
    cannot be ended, and the run hangs at its end (1.13.27).
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def heard() -> Iterator[None]:
    """A block that ends with `KeyboardInterrupt` if Ctrl-C was pressed in it, whatever else comes of it."""
    global _notes
    if _notes is not None or threading.current_thread() is not threading.main_thread():
        yield  # the block around this one hears it; and only the main thread gets signals
        return
    _notes = _Notes()
    try:
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _notes.interrupted():
                raise KeyboardInterrupt from error
            raise
        check()
    finally:
        _notes.close()
        _notes = None


def check() -> None:
    """Raise `KeyboardInterrupt` if Ctrl-C was pressed since the block `heard` began; nothing outside of one."""
    if _notes is not None and threading.current_thread() is threading.main_thread() and _notes.interrupted():
        raise KeyboardInterrupt


class _Notes:
    """The notes of the interpreter, as long as a block is open."""

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self.before = signal.set_wakeup_fd(self.writer.fileno(), warn_on_full_buffer=False)
        self.hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self.closed = threading.Event()
        threading.Thread(target=self._insist, name="interrupts", daemon=True).start()

    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed since the block began."""
        try:
            return bool(ENDS & set(self.reader.recv(4096, socket.MSG_PEEK)))
        except OSError:  # there are no notes, or the block has ended
            return False

    def close(self) -> None:
        self.closed.set()
        sys.unraisablehook = self.hook
        signal.set_wakeup_fd(self.before)
        self.reader.close()
        self.writer.close()

    def _insist(self) -> None:
        while not self.interrupted():
            if self.closed.wait(0.5):
                return
        while not self.closed.wait(AGAIN_SECONDS):
            os.kill(os.getpid(), signal.SIGINT)

    def _unraisable(self, raised: "sys.UnraisableHookArgs") -> None:
        """Ctrl-C came where nothing can be raised, such as while an object goes: it is noted, and needs no traceback."""
        if not (issubclass(raised.exc_type, BaseException) and "Interrupt" in raised.exc_type.__name__):
            self.hook(raised)


_notes: _Notes | None = None
