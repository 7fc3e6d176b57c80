"""Another user of the machine, as whom root runs a function: what security tests attack with."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@contextmanager
def stranger(act: Callable[..., Any], *arguments: Any) -> Iterator[Connection]:
    """A process of another user that runs `act(connection, *arguments)`; the other end of its connection.

    A fork and not a new interpreter, whose files the other user may not be allowed to read. Import what `act` needs before.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_become, args=(act, ours, theirs, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()  # what it waits for
        process.join(10)
        process.kill()


def as_stranger(act: Callable[..., Any], *arguments: Any, seconds: float = 60) -> Any:
    """What `act(*arguments)` returns when another user of the machine runs it; its exception, if it raises one."""
    with stranger(_answer, act, *arguments) as connection:
        assert connection.poll(seconds), f"the other user did not come to an end within {seconds:g} s"
        return connection.recv()


def _answer(connection: Connection, act: Callable[..., Any], *arguments: Any) -> None:
    try:
        connection.send(act(*arguments))
    except Exception as error:  # noqa: BLE001  whoever asked looks at it
        connection.send(error)


def _become(act: Callable[..., Any], ours: Connection, theirs: Connection, arguments: tuple[Any, ...]) -> None:
    ours.close()
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.chdir("/")
    act(theirs, *arguments)
