"""Whether the process that wrote something down still lives: by its number, its start, and the start of its machine."""

import os
from functools import cache
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux tells which start of the machine this is (random(4))."""


@cache
def boot_id() -> str:
    """Hexadecimal digits that change when the machine starts: a process's number alone says little after that."""
    try:
        return BOOT_ID.read_text().strip().replace("-", "").lower()
    except OSError:
        return f"{int(psutil.boot_time()):08x}"


def living(pid: int) -> psutil.Process | None:
    """The process that has this number; None if there is none, or one that only waits for its parent to take notice."""
    try:
        process = psutil.Process(pid)
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return None
    return process if alive(process) else None


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie only waits for its parent to take notice."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def began(process: psutil.Process) -> float:
    """When a process of this machine began, in seconds since the machine did, which no change of the clock moves.

    In seconds since 1970 where `/proc` does not tell. Raises `psutil.NoSuchProcess`.
    """
    try:
        ticks = int(Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return float(process.create_time())
    return ticks / os.sysconf("SC_CLK_TCK")
