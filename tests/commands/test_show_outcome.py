"""What is printed when a run has ended."""

import io

import pytest
from rich.console import Console

from ml_assets.commands.outcome import Outcome
from ml_assets.commands.run import show_outcome


@pytest.mark.parametrize(("count", "shown"), [(2, "p/a0, p/a1\n"), (5, "p/a3, p/a4\n"), (20, "p/a3, p/a4 and 15 more\n")])
def test_what_was_held_up_is_listed_by_name_as_far_as_one_reads_it(count: int, shown: str) -> None:
    out = io.StringIO()
    outcome = Outcome(failed={"p/samples": "nothing could be collected"}, blocked=[f"p/a{n}" for n in range(count)])
    show_outcome(outcome, Console(file=out, width=200))
    assert "✗ p/samples: nothing could be collected\n" in out.getvalue()
    assert "not run because of that: p/a0, p/a1" in out.getvalue()
    assert shown in out.getvalue()
