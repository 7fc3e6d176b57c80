"""Imports run the way the data runs: a layer may import those below it and its own, never one above."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ml_assets"
STAGES = ("collection", "labeling", "visualization", "features", "training", "deployment", "monitoring")
LAYERS: list[set[str]] = [
    {"errors"},
    {"state"},
    {"registry", "compute", "texts", "charts"},
    {"network"},
    {"store"},
    {"spool"},
    {"modalities"},
    {"tasks"},
    {"orchestration"},
    *({stage} for stage in STAGES),
    {"settings"},
    {"project"},
    {"definitions", "services"},
    {"commands"},
    {"demo"},
    {"cli"},
]
"""From the ground up: the parts of one layer do not import each other."""
WIRING = {"assets", "checks", "definitions", "sensors"}
DAGSTER = {
    "orchestration/dead_runs", "orchestration/resources", "orchestration/stage", "definitions", "project", "commands/runner",
}  # fmt: skip


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_at_the_top(path: Path) -> Iterator[str]:
    """The modules that are imported with the file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module: str) -> str | None:
    """The part of the package that a module belongs to."""
    names = module.split(".")
    return names[1] if names[0] == "ml_assets" and len(names) > 1 else None


def level(name: str) -> int:
    found = [i for i, layer in enumerate(LAYERS) if name in layer]
    assert found, f"{name} is in no layer: add it to LAYERS"
    return found[0]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts
    if own[0] in ("__init__", "defs"):
        return
    for module in imports(path):
        name = part(module)
        if name is None or name == own[0] or (not (PACKAGE / name).exists() and not (PACKAGE / f"{name}.py").exists()):
            continue
        assert level(name) < level(own[0]), f"{'/'.join(own)} imports {module}, which does not stand below it"
        if own[0] in STAGES and name in STAGES:
            assert module.split(".")[2:3] == [] or module.split(".")[2] not in WIRING, (
                f"{'/'.join(own)} imports the wiring {module}"
            )


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_dagster_stays_in_the_wiring(path: Path) -> None:
    modules = {module.split(".")[0] for module in imports(path)}
    private = [module for module in imports(path) if module.startswith("dagster._")]
    assert not private
    if "dagster" in modules:
        own = path.relative_to(PACKAGE).with_suffix("")
        assert str(own) in DAGSTER or (own.parts[0] in STAGES and own.name in WIRING)
        assert "__future__" not in modules, "Dagster cannot read annotations that are text"


def test_the_package_itself_imports_nothing() -> None:
    """A Bento holds a part of the package: what it does not need is not there."""
    assert (PACKAGE / "__init__.py").read_text() == ""


def is_network(path: Path) -> bool:
    """Whether the file is one of the networks, which import torch: it stands in a folder `networks`, or is `networks.py`."""
    return "networks" in path.relative_to(PACKAGE).with_suffix("").parts


WORK = sorted(
    ".".join(["ml_assets", *path.relative_to(PACKAGE).with_suffix("").parts])
    for path in files()
    if path.relative_to(PACKAGE).parts[0] in STAGES and not is_network(path)
    if path.stem not in {*WIRING, "__init__", "pyfunc"}
)
"""The modules that do the stages' work, but for the networks."""


def test_the_work_of_the_stages_imports_neither_dagster_nor_anything_slow() -> None:
    heavy = (
        "dagster",
        "torch",
        "transformers",
        "lance",
        "mlflow",
        "bentoml",
        "whylogs",
        "sklearn",
        "pandas",
        "lightning",
        "cv2",
    )
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {WORK!r}]; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_networks_are_imported_where_they_are_made() -> None:
    """They import torch at their top: whatever imports them at its own would do so too."""
    own = [path for path in files() if is_network(path)]
    assert len(own) > 10
    others = [path for path in files() if not is_network(path)]
    assert [path for path in others if any("networks" in name.split(".") for name in imports_at_the_top(path))] == []


def test_no_two_parts_import_each_other() -> None:
    """Layers say it of parts; within a part no two modules may either."""
    arrows = {path: set(imports_at_the_top(path)) for path in files()}
    names = {".".join(["ml_assets", *path.relative_to(PACKAGE).with_suffix("").parts]): path for path in files()}
    pairs = [(a, b) for a in names for b in arrows[names[a]] if b in names and a < b and a in arrows[names[b]]]
    assert pairs == []


@pytest.mark.parametrize("folder", ["label_studio", "bento"])
def test_folders_that_would_shadow_a_package(folder: str) -> None:
    assert not (PACKAGE.parent / folder / "__init__.py").exists()
