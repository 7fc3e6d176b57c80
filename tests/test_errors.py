"""What is foreseen is one sentence of our own kind; what is not shows its traceback."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.errors import InvalidValue, Missing, MLAssetsError

PACKAGE = Path(__file__).parents[1] / "ml_assets"
BUILTIN = {"ValueError", "LookupError", "RuntimeError", "IndexError", "Exception"}
ANSWERS = {"Refused"}
"""No errors of the command line: what the endpoint answers."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sentences_for_people_are_raised_as_errors_of_our_own(path: Path) -> None:
    """Else the command cannot tell them from a mistake in the program."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            assert node.exc.func.id not in BUILTIN, f"line {node.lineno}: raise a class of `ml_assets.errors`"
        if isinstance(node, ast.ClassDef) and node.name not in ANSWERS and path.name != "errors.py":
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if bases & (BUILTIN | {"OSError", "KeyError"}):
                assert "MLAssetsError" in bases, f"line {node.lineno}: {node.name} needs the root MLAssetsError"


def test_an_error_says_its_sentence_whatever_it_is_built_on() -> None:
    class Unknown(MLAssetsError, KeyError):
        """One that callers catch as a `KeyError`."""

    assert str(Unknown("no 'x': choose y")) == "no 'x': choose y"
    assert isinstance(InvalidValue(""), ValueError)
    assert isinstance(Missing(""), LookupError)


@pytest.mark.parametrize(
    ("raised", "code", "traceback"),
    [
        ("KeyError('x')", 1, True),
        ("ValueError('too many values to unpack')", 1, True),
        ("TypeError('x')", 1, True),
        ("__import__('ml_assets.errors').errors.Missing('no x: make it')", 1, False),
        ("PermissionError(13, 'Permission denied', '/x')", 1, False),
    ],
)
def test_a_mistake_in_the_program_shows_its_traceback(raised: str, code: int, traceback: bool) -> None:
    program = f"""
import ml_assets.cli as cli
from ml_assets.commands import status
def broken(): raise {raised}
status.collect = broken
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "status"], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=120
    )
    assert done.returncode == code
    assert ("Traceback" in done.stderr) is traceback
    assert ("error: " in done.stderr) is not traceback
    assert "error: 'x'" not in done.stderr
