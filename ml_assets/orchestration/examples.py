"""The examples that come along: which there are, and which a home uses. Dagster and `status` show no others."""

from pathlib import Path

from ml_assets.state.home import home

FOLDER = Path(__file__).parents[1] / "defs"
"""Where their YAML lies; in a checkout also people's own projects."""
NAMES = ("newsgroups", "sentiment", "digits", "languages", "tweets", "addresses", "scenes")


def use(name: str) -> None:
    """Note that this home uses the example. A project that is none is left alone."""
    if name in NAMES:
        mark = home() / "examples" / name
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def in_use() -> list[str]:
    """The examples that this home uses: those that were run in it, also by a version that noted nothing."""
    from ml_assets.store import StoreUnavailable, projects

    marked = {path.name for path in (home() / "examples").glob("*")}
    if set(NAMES) <= marked:
        return list(NAMES)
    try:
        return [name for name in NAMES if name in marked | set(projects())]
    except StoreUnavailable:  # rather one too many than one that runs and is not seen
        return list(NAMES)
