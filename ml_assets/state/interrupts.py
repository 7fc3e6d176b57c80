"""Makes sure that Ctrl-C ends a block of code, even if code inside it catches or hides `KeyboardInterrupt`.

Dagster replaces the handler of the signal while it runs, and forgets one that comes between two steps; a library may catch
it, or it may come where Python prints exceptions and goes on. The interpreter itself records each signal before any handler is
called (`signal.set_wakeup_fd`): that record is what counts here, and as long as the work goes on, it is interrupted again.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = {signal.SIGINT, signal.SIGTERM}
"""Signals that interrupt the block; Dagster handles SIGTERM like SIGINT."""
AGAIN_SECONDS = 5.0
"""How long interrupted work may take to clean up before it is interrupted again."""


def unignore() -> None:
    """Make SIGINT effective again in a process that inherited it as ignored, as background jobs of a shell script do.

    Dagster makes SIGTERM do what SIGINT does. Ignored, it would be inherited by the helper processes of a run, which then
    cannot be ended, and the run hangs at its end (1.13.27).
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def heard() -> Iterator[None]:
    """Context manager that ends with `KeyboardInterrupt` if Ctrl-C was pressed inside it, even if the code in it hid that."""
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
    """Raise `KeyboardInterrupt` if Ctrl-C was pressed since the surrounding `heard` block began; do nothing outside of one."""
    if _notes is not None and threading.current_thread() is threading.main_thread() and _notes.interrupted():
        raise KeyboardInterrupt


class _Notes:
    """Records of the signals that the process received since this object was made, until it is closed."""

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self.before = signal.set_wakeup_fd(self.writer.fileno(), warn_on_full_buffer=False)
        self.hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self.closed = threading.Event()
        threading.Thread(target=self._insist, name="interrupts", daemon=True).start()

    def interrupted(self) -> bool:
        """Whether SIGINT or SIGTERM was received since this object was made."""
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
        """Hide the traceback of a Ctrl-C that came where Python cannot raise, such as in `__del__`: the signal is recorded."""
        if not (issubclass(raised.exc_type, BaseException) and "Interrupt" in raised.exc_type.__name__):
            self.hook(raised)


_notes: _Notes | None = None
