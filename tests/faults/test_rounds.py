"""A seeded part of each kind of fault; `make faults` tries the whole of them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from . import clocks, endpoint, files, namespaces, promises
from .acknowledged import Kept
from .conftest import Loops
from .rounds import Round, table


def held(rounds: Iterable[Round]) -> int:
    """How many rounds; each that fell is told with what is wrong."""
    made = list(rounds)
    fell = [f"{each.what}: {' '.join(each.problems)}" for each in made if not each.held]
    assert not fell, "\n".join(fell)
    return len(made)


def test_no_acknowledged_record_is_lost_when_the_endpoints_processes_are_killed_under_load(tmp_path: Path) -> None:
    assert held(endpoint.rounds(2, 2, tmp_path)) == 2


def test_who_adopts_from_another_pid_namespace_loses_nothing(tmp_path: Path) -> None:
    assert held(namespaces.rounds(2, 5, tmp_path)) == 2


@pytest.mark.parametrize("subject", clocks.SUBJECTS)
def test_a_clock_that_jumps_loses_nothing_and_stops_nothing(subject: str, tmp_path: Path) -> None:
    assert held(clocks.tried(subject, 0, tmp_path)) == len(clocks.JUMPS)


def test_a_damaged_file_is_told_and_everything_else_goes_on(loops: Loops) -> None:
    assert held(files.rounds(16, 1, loops.folder, print)) == 16


def test_what_is_lost_and_what_is_doubled_is_counted() -> None:
    kept = Kept()
    kept.look("records", ["a", "b", "c"], Counter(["a", "b", "b"]))
    assert (kept.lost, kept.doubled) == (1, 1)
    assert kept.problems == [
        "1 of 3 records are lost, such as 'c'",
        "1 records are there more than once, such as 'b'",
    ]
    assert "    2       1       1        1" in table([Round("files", "one", 1, 1), Round("files", "another")])


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("keys.json", "keys"),
        ("inference/a/0-1-2.jsonl", "segments"),
        ("store/a/samples.lance/data/x.lance", "tables: data"),
        ("store/a/samples.lance/_versions/1.manifest", "tables: versions"),
    ],
)
def test_each_file_has_one_kind(path: str, kind: str) -> None:
    promise = promises.of(path)
    assert promise is not None
    assert promise.kind == kind
    assert promises.of("something/else") is None
