"""One installation for all attacks."""

from collections.abc import Iterator

import pytest
from browser_fixture import browser

from .target import Target, attacked

__all__ = ["browser"]


@pytest.fixture(scope="package")
def target() -> Iterator[Target]:
    """The installation that is attacked, with its servers up; when the attacks are over it must end by itself."""
    with attacked() as made:
        yield made
