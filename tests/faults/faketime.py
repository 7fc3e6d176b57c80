"""The clock of a running endpoint is set while applications use it: all its processes run under libfaketime.

Debian has it as `libfaketime`; `make faults` fetches it without being root.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from ml_assets.state.clock import now

from .acknowledged import application, look
from .clocks import JUMPS
from .endpoint import LEAST
from .rounds import Round
from .served import served, waited

FOLDERS = (Path(__file__).parents[2] / ".setup" / "faketime", Path("/"))
PATTERN = "usr/lib/*/faketime/libfaketime.so.1"
SECONDS = 1.5
"""Of load under each clock."""


def library() -> Path | None:
    """Where libfaketime is, if it is there."""
    return next((path for folder in FOLDERS for path in folder.glob(PATTERN)), None)


def rounds(count: int, seed: int, folder: Path) -> Iterator[Round]:
    """Each jump in turn, forth and back again, all on one endpoint under load; none without the library."""
    faked = library()
    if faked is None:
        return
    draw, setting = random.Random(seed), folder / "clock"
    folder.mkdir(parents=True, exist_ok=True)
    _set(setting, 0)
    under = {
        "LD_PRELOAD": str(faked),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_NO_CACHE": "1",
        # the kernel's clock since the start cannot be set, and so does not jump
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with (
        served(folder, under) as endpoint,
        application(endpoint.url, endpoint.store.project, endpoint.secret, endpoint.classes, seed) as known,
    ):
        for number in range(count):
            name = list(JUMPS)[number % len(JUMPS)]
            before = len(known)
            _set(setting, (JUMPS[name](now()) - now()).total_seconds())
            time.sleep(SECONDS * draw.uniform(0.5, 1))
            kept = look(endpoint.store, known.copy(), endpoint.classes, now())
            _set(setting, 0)
            problems = list(kept.problems)
            if not waited(lambda before=before: len(known) >= before + LEAST, 60):
                problems.append(f"only {len(known) - before} records were acknowledged within 60 s")
            kept_after = look(endpoint.store, known.copy(), endpoint.classes, now())
            problems += [each for each in kept_after.problems if each not in problems]
            lost, doubled = max(kept.lost, kept_after.lost), max(kept.doubled, kept_after.doubled)
            what = f"seed {seed}: the endpoint's clock is set {name} and back, {len(known)} acknowledged records"
            yield Round("faketime", what, lost, doubled, tuple(problems))


def _set(setting: Path, seconds: float) -> None:
    part = setting.with_suffix(".part")
    part.write_text(f"{seconds:+.0f}s\n")
    os.replace(part, setting)
