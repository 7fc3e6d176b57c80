"""Identifies processes across reboots and reused process ids: boot id, liveness, and start time since boot."""

import os
from functools import cache
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Linux's file with the id of the current boot (random(4))."""


@cache
def boot_id() -> str:
    """Hexadecimal digits that identify the current boot of the machine; process ids are unique only within one boot."""
    try:
        return BOOT_ID.read_text().strip().replace("-", "").lower()
    except OSError:
        return f"{int(psutil.boot_time()):08x}"


def living(pid: int) -> psutil.Process | None:
    """The running process with this id; None if there is none or it is a zombie."""
    try:
        process = psutil.Process(pid)
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return None
    return process if alive(process) else None


def alive(process: psutil.Process) -> bool:
    """Whether the process still runs; a zombie does not count."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def began(process: psutil.Process) -> float:
    """When the process began, in seconds since boot, so that setting the clock does not change it.

    In seconds since 1970 if `/proc` is not available. Raises `psutil.NoSuchProcess`.
    """
    try:
        ticks = int(Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return float(process.create_time())
    return ticks / os.sysconf("SC_CLK_TCK")
