"""The documentation says what the code says: reference and graph are made from it, links lead somewhere, YAML is valid."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_assets.settings import COMPONENT, ProjectSettings

ROOT = Path(__file__).parents[1]
HIDDEN = re.compile(r"(^|/)(\.(?!ci)[^/]*|node_modules|build|dist)/")
PAGES = sorted(path for path in ROOT.rglob("*.md") if not HIDDEN.search(path.relative_to(ROOT).as_posix()))
FENCED = re.compile(r"^(`{3,})(\w*)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "make_reference.py"))


def test_the_reference_is_what_the_code_says(made: dict[str, Any]) -> None:
    stands = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert stands == made["reference"](), "run `python docs/make_reference.py`"


def test_the_graph_in_the_readme_is_that_of_the_code(made: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert made["graph"]() in readme, "run `python docs/make_reference.py`"


PACKAGE = {path.name for path in (ROOT / "ml_assets").iterdir() if path.name not in ("__init__.py", "__pycache__")}
STAGES = ("collection", "labeling", "visualization", "features", "training", "deployment", "monitoring")


def test_the_layout_names_all_that_is_there_and_nothing_else() -> None:
    [layout] = re.findall(
        r"^```\nml_assets/\n(.*?)^bento/", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert set(re.findall(r"(?<!\S)([a-z_]+(?:\.py|/))", layout)) - {"runner.py"} == {
        entry if "." in entry else f"{entry}/" for entry in PACKAGE - {"new_project.yaml"}
    }


def test_the_architecture_names_all_rooms_and_no_file_that_is_not_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = {found.rstrip("/") for found in re.findall(r"`([a-z_/]+(?:\.(?:py|yaml)|/))`", page)}
    assert {entry for entry in PACKAGE if entry not in STAGES} <= named
    places = [ROOT, ROOT / "docs", ROOT / "ml_assets", ROOT / "ml_assets" / "collection"]  # which stands for every stage
    gone = [entry for entry in named if not any((place / entry).exists() for place in places)]
    assert gone == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in ("extending.md", "CHANGELOG.md")], ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """Pages that describe what is to be written are left out, and the history."""
    path = re.compile(r"(?<![\w/.-])(?:ml_assets|tests|docs|benchmarks|bento)/[\w/.-]+\.(?:py|md|toml)\b")
    named = sorted(set(path.findall(page.read_text("utf-8"))))
    assert [file for file in named if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("way", ["sample", "prediction"])
def test_no_file_stands_twice_in_a_way_through_the_package(way: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").split(f"## The way of a {way}\n")[1].split("\n## ")[0]
    steps = re.findall(r"^\| .* \| `([^`]+)` \|$", page, re.MULTILINE)
    assert len(steps) > 10
    assert len(steps) == len(set(steps))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve() if place else page
        assert file.exists(), f"{name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{name(page)} links to {target}: {name(file)} has no such heading"


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def projects() -> list[Any]:
    blocks = [
        pytest.param(match[3], id=f"{name(page)}:{page.read_text(encoding='utf-8')[: match.start()].count(chr(10)) + 1}")
        for page in PAGES
        for match in FENCED.finditer(page.read_text(encoding="utf-8"))
        if match[2] == "yaml" and match[3].startswith(f"type: {COMPONENT}")
    ]
    assert blocks
    return blocks


@pytest.mark.parametrize("block", projects())
def test_projects_in_the_documentation_are_valid(block: str) -> None:
    content = yaml.safe_load(block)
    assert set(content) == {"type", "attributes"}
    ProjectSettings.model_validate(content["attributes"])


def test_the_template_of_new_projects_is_valid() -> None:
    content = yaml.safe_load((ROOT / "ml_assets" / "new_project.yaml").read_text(encoding="utf-8"))
    ProjectSettings.model_validate(content["attributes"])


def test_every_dependency_has_a_reason() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    reasons = (ROOT / "docs" / "decisions" / "0004-dependencies.md").read_text(encoding="utf-8")
    wanting = [d for d in (re.split(r"[<>=\[; ]", text)[0] for text in declared) if f"`{d}`" not in reasons]
    assert not wanting


def test_every_variable_is_documented() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in [*(ROOT / "ml_assets").rglob("*.py"), *(ROOT / "bento").glob("*.py")]
    )
    read = set(re.findall(r'environ(?:\.get\(|\.setdefault\(|\[)"(ML_ASSETS_\w+)"', code))
    assert "ML_ASSETS_HOME" in read
    told = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/running.md"))
    assert not [variable for variable in read if variable not in told]
