"""The home, tables and folder of segments that the tests of monitoring use too."""

from monitoring.conftest import folder, home, store

__all__ = ["folder", "home", "store"]
