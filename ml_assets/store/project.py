"""Access to the tables of a project, under one root on a local disk or an object store."""

import re
from pathlib import Path

from ml_assets.errors import MLAssetsError, unknown
from ml_assets.state.digests import content_id
from ml_assets.state.home import store_root
from ml_assets.state.names import PROJECT_NAME, named
from ml_assets.store.reach import reached
from ml_assets.store.schemas import EMBEDDINGS, SCHEMAS, embedding_schema
from ml_assets.store.table import Table


class UnknownTable(MLAssetsError, KeyError):
    """The project has no table of that name."""


class ProjectStore:
    """The tables of one project; `root` is by default `ML_ASSETS_STORE`."""

    def __init__(self, project: str, root: str | Path | None = None):
        self.project = named(project)
        self.uri = f"{str(root or store_root()).rstrip('/')}/{project}"

    def table(self, name: str) -> Table:
        """The table of this name: one of `ml_assets.store.schemas.SCHEMAS`, or an existing `embeddings/<encoder>`.

        Raises `UnknownTable`.
        """
        if name.startswith(f"{EMBEDDINGS}/"):
            return self._written_embeddings(name)
        if name not in SCHEMAS:
            raise UnknownTable(unknown("table", name, [*SCHEMAS, f"{EMBEDDINGS}/<encoder>"]))
        return Table(f"{self.uri}/{name}.lance", SCHEMAS[name])

    def others(self) -> list["ProjectStore"]:
        """The stores of all other projects under the same root. Raises `StoreUnavailable`."""
        root = self.uri.rpartition("/")[0]
        return [ProjectStore(name, root) for name in projects(root) if name != self.project]

    def embeddings(self, encoder: str, dimensions: int) -> Table:
        """The table of the vectors of one encoder, with the columns `id` and `vector`, `(dimensions,) float32`."""
        safe = re.sub(r"[^a-z0-9._-]+", "-", encoder)
        if safe != encoder:  # another encoder's name may look the same then
            safe = f"{safe}-{content_id(encoder)[:8]}"
        return Table(f"{self.uri}/{EMBEDDINGS}/{safe}.lance", embedding_schema(dimensions))

    def _written_embeddings(self, name: str) -> Table:
        """An existing table of vectors; their number of dimensions is read from its schema. Raises `UnknownTable`."""
        import fsspec
        import lance

        uri, folder = f"{self.uri}/{name}.lance", f"{self.uri}/{EMBEDDINGS}"
        with reached(uri):
            fs, path = fsspec.url_to_fs(folder)
            entries = fs.ls(path, detail=False) if fs.exists(path) else []
            there = sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)
            if Path(uri).name not in there:
                known = ", ".join(f"{EMBEDDINGS}/{entry.removesuffix('.lance')}" for entry in there)
                raise UnknownTable(f"{self.project} has no table {name!r}: it has {known or 'no embeddings yet'}")
            return Table(uri, embedding_schema(lance.dataset(uri).schema.field("vector").type.list_size))


def projects(root: str | Path | None = None) -> list[str]:
    """Names of the projects that have tables, sorted. Raises `StoreUnavailable`."""
    import fsspec

    uri = str(root or store_root())
    with reached(uri):
        fs, path = fsspec.url_to_fs(uri)
        fs.invalidate_cache()  # object stores' listings are kept for as long as the process lives
        try:
            names = [entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)]
        except FileNotFoundError:
            return []
    return sorted(name for name in names if PROJECT_NAME.fullmatch(name))
