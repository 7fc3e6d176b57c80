"""`ml-assets rejects`: reasons with their counts, each record on request, nothing that a terminal would obey."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ml_assets.commands import rejects
from ml_assets.labeling.annotations import Invalid
from ml_assets.store import ProjectStore

from .reviews import run, table, write_csv


@pytest.fixture
def set_aside(store: ProjectStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    rows = [("one", "fine"), ("two", "fine"), ("", "good"), ("\x1b[31mred[/red]", "fine"), ("well", "good")]
    run(store, table(write_csv(data / "a.csv", rows), label="label"))
    invalid = Invalid(7, 3, "sample", "task 3 (annotation 7 by ann): the answer is empty")
    monkeypatch.setattr(rejects.settings, "load", lambda name: None)
    monkeypatch.setattr(rejects, "read_mark", lambda store: SimpleNamespace(invalid=(invalid,)))
    return rejects.collect(store.project)


def shown(found: list[dict[str, Any]], every: bool) -> str:
    out = io.StringIO()
    rejects.show(found, every, Console(file=out, width=200, force_terminal=True, color_system=None))
    return out.getvalue()


def test_reasons_are_counted(set_aside: list[dict[str, Any]]) -> None:
    assert len(set_aside) == 5
    lines = shown(set_aside, every=False).splitlines()
    assert lines[1].split()[:6] == ["3", "first", "unknown", "class", "'fine':", "choose"]
    assert "5 in all: --all lists each" in lines[-1]
    assert any("label_studio" in line and "the answer is empty" in line for line in lines)
    assert shown([], every=False).strip() == "nothing was set aside"


def test_each_is_listed_on_request_and_obeyed_by_no_terminal(set_aside: list[dict[str, Any]]) -> None:
    found = shown(set_aside, every=True)
    assert found.count("unknown class 'fine'") == 3
    assert "\x1b[31m" not in found
    assert "[31mred[/red]" in found
