"""The registry of sources: a new one is a file in this folder and its name in the list; `Upload` needs no entry."""

from ml_assets.collection.sources.base import BadRecord, Source, SourceError, SourceFile
from ml_assets.collection.sources.files import Files
from ml_assets.collection.sources.table import TableSource
from ml_assets.collection.sources.upload import Upload
from ml_assets.registry import Registry

SOURCES: Registry[Source] = Registry("source", Files, TableSource)
SourceField = SOURCES.field(Source)

__all__ = ["SOURCES", "BadRecord", "Source", "SourceError", "SourceField", "SourceFile", "Upload"]
