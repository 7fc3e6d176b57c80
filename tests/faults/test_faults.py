"""A few kills at random moments over the whole loop; `make faults` does more of them."""

from pathlib import Path

from .schedule import draw
from .trial import attempt

SEED, KILLS = 1, 6


def test_whatever_is_killed_the_tables_are_those_of_an_undisturbed_loop(tmp_path: Path) -> None:
    calm = attempt(tmp_path / "calm", [], retrains=False, calm=None, say=print)
    assert not calm.problems
    shaken = attempt(tmp_path / "shaken", draw(SEED, KILLS, calm.seconds), retrains=False, calm=calm.tables, say=print)
    assert not shaken.problems
    assert shaken.killed >= KILLS - 2, "the moments came too late: nothing was tried"
