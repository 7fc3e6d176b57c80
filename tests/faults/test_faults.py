"""A few kills at random moments in a small loop; `make faults` does many, and in the whole one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .schedule import draw
from .tables import differences
from .trial import attempt

SEED, KILLS = 9, 6
SECONDS = {"up": 20.0, "queue": 20.0, "annotators": 8.0, "train": 30.0, "application": 8.0, "monitor": 20.0, "down": 4.0}
"""About how long each step takes while two loops go on. Where it takes less, its later moments are missed."""


def test_whatever_is_killed_the_tables_are_those_of_an_undisturbed_loop(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as both:  # a good part of each is waiting for servers
        futures = [
            both.submit(attempt, tmp_path / name, kills, small=True, calm=None, say=print)
            for name, kills in (("calm", []), ("shaken", draw(SEED, KILLS, SECONDS)))
        ]
    calm, shaken = (future.result() for future in futures)
    assert not calm.problems
    assert not shaken.problems
    assert differences(calm.tables, shaken.tables) == []
    assert shaken.killed >= 3, "the moments came too late: nothing was tried"
