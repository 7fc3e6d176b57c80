"""Imports run the way the data runs: a layer may import those below it and its own, never one above."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ml_assets"
STAGES = ("collection", "labeling", "visualization", "features", "training", "deployment", "monitoring")
BOTTOM = {
    *("home", "private", "listeners", "guard", "http_limits", "credentials"),
    *("records", "registry", "store", "lock", "compute", "progress", "inbox", "plain"),
    *("cells", "errors", "examples", "interrupts", "offsets", "speakers", "surroundings", "unicode_words"),
}
LAYERS: list[set[str]] = [
    BOTTOM,
    {"modalities", "tasks"},
    {"resources", "dead_runs"},  # what every stage's wiring shares
    *({stage} for stage in STAGES),
    {"settings"},
    {"project"},
    {"definitions", "services"},
    {"run"},
    {"commands"},
    {"demo"},
    {"cli"},
]
WIRING = {"assets", "checks", "sensors"}
DAGSTER = {"dead_runs", "definitions", "project", "resources", "run"}


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
        assert level(name) < level(own[0]) or {name, own[0]} <= BOTTOM, (
            f"{'/'.join(own)} imports {module}, which stands above it"
        )
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
        assert path.stem in WIRING or path.stem in DAGSTER
        assert "__future__" not in modules, "Dagster cannot read annotations that are text"


def test_importing_a_stage_does_not_import_dagster() -> None:
    assert (PACKAGE / "__init__.py").read_text() == ""


@pytest.mark.parametrize("folder", ["label_studio", "bento"])
def test_folders_that_would_shadow_a_package(folder: str) -> None:
    assert not (PACKAGE.parent / folder / "__init__.py").exists()
