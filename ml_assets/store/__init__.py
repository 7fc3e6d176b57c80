"""The tables of all projects, which is what the stages hand to each other."""

from ml_assets.store.project import ProjectStore, UnknownTable, projects
from ml_assets.store.reach import StoreUnavailable, TableDamaged
from ml_assets.store.table import Table, UnknownVersion, quote

__all__ = [
    "ProjectStore",
    "StoreUnavailable",
    "Table",
    "TableDamaged",
    "UnknownTable",
    "UnknownVersion",
    "projects",
    "quote",
]
