"""The how-to page on extending is right: its plug-ins, built from it into a copy of the package, do what plug-ins must do."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^[^\n`]*`([\w/]+\.(?:py|yaml))`[^\n]*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of code, with the file that the line above names."""
BLOCKS = {match[1]: match[2] for match in BLOCK.finditer(PAGE)}
PLUGINS = {"modalities": "series", "tasks": "rating", "training/architectures": "linear"}
PROJECT, SCRIPT = "ml_assets/defs/curves/defs.yaml", "make_curves.py"
REGISTRATION = re.compile(
    r"(?P<line>from \S+ import (?P<plugin>\w+))\n\n(?P<begin>\w+: .* = Registry\(\"\w+\", )…, (?P=plugin)\)\n"
)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package in which the page was followed, and with the script of its data."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "ml_assets", folder / "ml_assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name, block in BLOCKS.items():
        path = folder / name
        if path.name == "__init__.py":
            path.write_text(registered(path.read_text(encoding="utf-8"), block), encoding="utf-8")
        else:
            assert not path.exists(), f"{name} is there already: the page needs another name"
            path.parent.mkdir(exist_ok=True)
            path.write_text(block, encoding="utf-8")
    return folder


def registered(text: str, block: str) -> str:
    """The `__init__.py` with the line of the block, and with its name at the end of the list that the block shows with `…`."""
    shown = REGISTRATION.fullmatch(block)
    assert shown, block
    listed = re.compile(re.sub(r"(\\ )+", r"\\s*", re.escape(shown["begin"]).replace(r"\(", r"\(\s*")) + r"[^)]*?(?=,?\s*\))")
    assert len(listed.findall(text)) == 1, f"the page shows {shown['begin']!r}, which does not stand there once"
    text = listed.sub(lambda match: f"{match[0]}, {shown['plugin']}", text)
    return text.replace("\nfrom ", f"\n{shown['line']}\nfrom ", 1)


def run(extended: Path, *command: str) -> str:
    """What the command, which sees the copy of the package first, prints; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ML_ASSETS_", "PYTEST_"))}
    environment |= {"PYTHONPATH": str(extended), "ML_ASSETS_HOME": str(extended / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=extended, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def test_each_plug_in_is_one_file_and_its_registration() -> None:
    files = [f"ml_assets/{folder}/{name}.py" for folder, name in PLUGINS.items()]
    assert sorted(BLOCKS) == sorted([*files, *(f"ml_assets/{folder}/__init__.py" for folder in PLUGINS), PROJECT, SCRIPT])


def test_they_are_written_as_the_rest_is(extended: Path) -> None:
    files = [str(extended / "ml_assets" / folder / f"{name}.py") for folder, name in PLUGINS.items()]
    for command in (["check"], ["format", "--check"]):
        run(extended, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), *files)


def test_they_pass_what_every_plug_in_must_pass(extended: Path) -> None:
    names = " or ".join(PLUGINS.values())
    contracts = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-q", str(ROOT / "tests" / "contracts")]
    printed = run(extended, "-m", "pytest", *contracts, "-k", f"({names}) and not test_media", "-rA")
    passed = re.findall(r"^PASSED \S+/(\w+)\.py::(\w+)\[(\S+)\]", printed, re.MULTILINE)
    for name, file in (("series", "test_modalities"), ("rating", "test_tasks"), ("linear", "test_architectures")):
        of_its_kind = {test for where, test, case in passed if where == file and name in re.split(r"\W", case)}
        contract = (ROOT / "tests" / "contracts" / f"{file}.py").read_text(encoding="utf-8")
        everything = set(re.findall(r"^@EACH\n(?:@.*\n)*def (\w+)", contract, re.MULTILINE))
        assert everything
        assert everything <= of_its_kind, f"{name} was not tested by {everything - of_its_kind}"
        assert [case for where, _, case in passed if where == "test_plugins" and case.endswith(f"-{name}")]


def test_the_project_goes_through_its_stages(extended: Path) -> None:
    (extended / "mlflow").mkdir()
    run(extended, SCRIPT)
    printed = run(extended, str(ROOT / "tests" / "through_stages.py"), str(extended / "mlflow"))
    found = json.loads(printed.splitlines()[-1])
    assert {"samples", "model", "drift"} <= set(found["assets"])
    assert found["received"] == found["accepted"] == found["embedded"] == 500
    assert found["trials"] == ["linear", "linear"]
    assert found["reasons"] == []
    assert set(found["metrics"]) == {"closeness", "accuracy"}
    assert 0.8 < found["metrics"]["closeness"] < 1
    assert int(found["answers"][0]) > int(found["answers"][1]), "noise is not smooth"
    assert {"numbers", "mean", "deviation", "step"} <= set(found["watched"])
    assert found["in_label_studio"].startswith("<svg ")
