"""The example projects that come with the package, and which of them a home uses: Dagster and `status` show only those."""

from pathlib import Path

from ml_assets.state.home import home

FOLDER = Path(__file__).parents[1] / "defs"
"""The folder with the examples' YAML; in a checkout also that of the user's own projects."""
NAMES = ("newsgroups", "sentiment", "digits", "languages", "tweets", "addresses", "scenes")


def use(name: str) -> None:
    """Record that this home uses the example; do nothing for a project that is not an example."""
    if name in NAMES:
        mark = home() / "examples" / name
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def in_use() -> list[str]:
    """The names of the examples that were run in this home, including those run by versions that did not record it."""
    from ml_assets.store import StoreUnavailable, projects

    marked = {path.name for path in (home() / "examples").glob("*")}
    if set(NAMES) <= marked:
        return list(NAMES)
    try:
        used = marked | set(projects())
        return [name for name in NAMES if name in used]
    except StoreUnavailable:  # rather one too many than one that runs and is not seen
        return list(NAMES)
