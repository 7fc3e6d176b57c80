"""A few kills at random moments in a small loop; `make faults` does many, and in the whole one."""

from .conftest import Loops
from .tables import differences


def test_whatever_is_killed_the_tables_are_those_of_an_undisturbed_loop(loops: Loops) -> None:
    assert not loops.calm.problems
    assert not loops.shaken.problems
    assert differences(loops.calm.tables, loops.shaken.tables) == []
    assert loops.shaken.killed >= 3, "the moments came too late: nothing was tried"
