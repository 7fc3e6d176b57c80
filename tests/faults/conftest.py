"""Two small loops, one undisturbed and one with kills: the first one's home is damaged afterwards."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import homes
from .schedule import draw
from .trial import Trial, attempt

SEED, KILLS = 9, 6
SECONDS = {"up": 20.0, "queue": 20.0, "annotators": 8.0, "train": 30.0, "application": 8.0, "monitor": 20.0, "down": 4.0}
"""About how long each step takes while two loops go on. Where it takes less, its later moments are missed."""


@dataclass(frozen=True)
class Loops:
    """What came of them; the home of the calm one lies in `folder`."""

    calm: Trial
    shaken: Trial
    folder: Path


@pytest.fixture(scope="session")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Both at the same time: a good part of each is waiting for servers."""
    folder = tmp_path_factory.mktemp("loops")
    with ThreadPoolExecutor(2) as both:
        calm = both.submit(attempt, folder / "calm", [], small=True, calm=None, say=print, then=homes.fill)
        shaken = both.submit(attempt, folder / "shaken", draw(SEED, KILLS, SECONDS), small=True, calm=None, say=print)
    return Loops(calm.result(), shaken.result(), folder / "calm")
