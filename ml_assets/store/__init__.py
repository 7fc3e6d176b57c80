"""The tables of all projects, through which the stages exchange data."""

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
