"""A Lance table with a declared key, on a local disk or an object store.

Every write is one commit or none: a write that changes nothing is not committed, so a table's digest and its version stay
the same. Writers compact the table when it has many fragments.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.errors import MLAssetsError
from ml_assets.store.reach import damaged, reached

MAX_FRAGMENTS = 50
IDS = 2000
"""Most keys in one filter."""
os.environ.setdefault("LANCE_LOG", "error")  # otherwise it warns about every new table
if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):  # an http address is given on purpose
    os.environ.setdefault("AWS_ALLOW_HTTP", "true")


class UnknownVersion(MLAssetsError, KeyError):
    """The table has no version with that tag."""


class Table:
    """A Lance table whose first column is its key; it is created at its first write and reads as empty until then."""

    def __init__(self, uri: str, schema: pa.Schema):
        self.uri = uri
        self.key = schema.names[0]
        key = schema.field(0).with_metadata({"lance-schema:unenforced-primary-key": "true"})
        self.schema = pa.schema([key, *list(schema)[1:]])

    def _open(self, tag: str | None = None) -> Any:
        import lance

        try:
            with reached(self.uri):
                return self._grown(lance.dataset(self.uri, version=tag), tag)
        except ValueError as error:
            if tag is None and "was not found" in str(error):
                return None
            if tag is not None:
                raise UnknownVersion(
                    f"{self.uri} has no version tagged {tag!r}: it has {', '.join(self.tags()) or 'none'}"
                ) from error
            raise

    def _grown(self, dataset: Any, tag: str | None) -> Any:
        """Add columns that are new in the schema to the dataset, as nulls, and return the dataset."""
        if self.key not in dataset.schema.names:  # how Lance reads a file of zeros
            raise damaged(self.uri, "it has no columns")
        new = [field for field in self.schema if field.name not in dataset.schema.names]
        if new and tag is None:
            dataset.add_columns(pa.schema(new))
        return dataset

    def exists(self) -> bool:
        """Whether anything was ever written to the table."""
        return self._open() is not None

    def read(self, columns: Sequence[str] | None = None, where: str | None = None, tag: str | None = None) -> pa.Table:
        """The rows that match the SQL filter `where`, in no particular order; `tag` reads a tagged version."""
        dataset = self._open(tag)
        if dataset is None:
            schema = self.schema if columns is None else pa.schema([self.schema.field(c) for c in columns])
            return schema.remove_metadata().empty_table()
        with reached(self.uri):
            return dataset.to_table(columns=None if columns is None else list(columns), filter=where)

    def batches(
        self, columns: Sequence[str] | None = None, where: str | None = None, size: int = 1024
    ) -> Iterator[pa.RecordBatch]:
        """Iterate over the rows that match in batches of at most `size`, for tables larger than memory."""
        dataset = self._open()
        if dataset is not None:
            with reached(self.uri):
                yield from dataset.to_batches(columns=None if columns is None else list(columns), filter=where, batch_size=size)

    def take(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows with these keys, in the order of `ids`; keys that the table does not have are left out."""
        dataset = self._open()
        if dataset is None or not ids:
            return self.read(columns).slice(0, 0)
        names = list(columns or self.schema.names)
        wanted = names if self.key in names else [self.key, *names]
        with reached(self.uri):
            parts = [
                dataset.to_table(columns=wanted, filter=f"{self.key} IN ({', '.join(map(quote, ids[i : i + IDS]))})")
                for i in range(0, len(ids), IDS)
            ]
        found = pa.concat_tables(parts)
        order = pc.index_in(pa.array(ids, pa.string()), value_set=found[self.key].combine_chunks())
        return found.take(order.drop_null()).select(names)

    def count(self, where: str | None = None) -> int:
        """The number of rows that match the SQL filter."""
        dataset = self._open()
        with reached(self.uri):
            return 0 if dataset is None else int(dataset.count_rows(filter=where))

    def ids(self, where: str | None = None) -> set[str]:
        """The keys of the rows that match the SQL filter."""
        return set(self.read([self.key], where)[self.key].to_pylist())

    def upsert(self, rows: pa.Table, ignore: Sequence[str] = ()) -> int:
        """Insert rows with new keys and update those that differ; return how many of both; of equal keys the last row wins.

        Columns in `ignore` (times of writing) do not count as a difference.
        """
        return self._merge(rows, update=True, ignore=ignore)

    def insert(self, rows: pa.Table) -> int:
        """Insert the rows whose keys are new, without changing existing rows; return how many were new."""
        return self._merge(rows, update=False, ignore=())

    def _merge(self, rows: pa.Table, update: bool, ignore: Sequence[str]) -> int:
        rows = _last_of_each(rows.select(self.schema.names).cast(self.schema), self.key)
        dataset = self._open()
        if dataset is None:
            if rows.num_rows == 0:
                return 0
            if self._create(rows):
                return int(rows.num_rows)
            dataset = self._open()
        rows = self._changed(rows, update, ignore)
        if rows.num_rows == 0:
            return 0
        merge = dataset.merge_insert(self.key).when_not_matched_insert_all()
        if update:
            merge = merge.when_matched_update_all()
        with reached(self.uri):
            merge.conflict_retries(20).execute(rows)
            self._compact()
        return int(rows.num_rows)

    def _create(self, rows: pa.Table) -> bool:
        """Create the table with these rows; return False, with the table unchanged, if another process created it first."""
        import lance

        # not `write_dataset(mode="create")`: of two at once the later one overwrites the earlier one's rows (14.0.2)
        try:
            made = lance.fragment.write_fragments(
                rows, self.uri, schema=self.schema, mode="create", enable_stable_row_ids=True, return_transaction=True
            )
            lance.LanceDataset.commit(self.uri, made, max_retries=0, enable_stable_row_ids=True)
        except OSError:
            if self._open() is None:
                raise
            return False
        return True

    def _changed(self, rows: pa.Table, update: bool, ignore: Sequence[str]) -> pa.Table:
        """The rows that are new or, for an update, differ from what is stored."""
        names = [n for n in self.schema.names if n not in ignore]
        stored = self.take(rows[self.key].to_pylist(), names if update else [self.key])
        if stored.num_rows == 0:
            return rows
        position = pc.index_in(rows[self.key].combine_chunks(), value_set=stored[self.key].combine_chunks())
        keep = pc.is_null(position)
        if update:
            known = pc.fill_null(position, 0)
            for name in names[1:]:
                old, new = stored[name].combine_chunks().take(known), rows[name].combine_chunks()
                keep = pc.or_(keep, _differs(old, new))
        return rows.filter(keep)

    def replace(self, rows: pa.Table, tag: str) -> bool:
        """Make `rows` the whole table and tag that version permanently; return False if the table already is at this tag.

        The tag must follow from the content: if it exists already, it is moved to the new version, which has the same content.
        """
        import lance

        known, stood = self.tags(), self._open()
        # the newest version may lack its tag, where a writer died between the two
        if known and known[-1] == tag and stood.tags.list()[tag]["version"] == stood.version:
            return False
        rows = rows.select(self.schema.names).cast(self.schema).sort_by(self.key)
        dataset = lance.write_dataset(rows, self.uri, schema=self.schema, mode="overwrite", enable_stable_row_ids=True)
        if tag in known:
            dataset.tags.update(tag, dataset.version)
        else:
            dataset.tags.create(tag, dataset.version)
        return True

    def tags(self) -> list[str]:
        """The names of the tagged versions, oldest first."""
        dataset = self._open()
        if dataset is None:
            return []
        with reached(self.uri):
            return [name for name, _ in sorted(dataset.tags.list().items(), key=lambda item: item[1]["version"])]

    def delete(self, where: str) -> int:
        """Delete the rows that match the SQL filter; return how many."""
        count = self.count(where)
        if count:
            with reached(self.uri):
                self._open().delete(where)
        return count

    def remove(self, ids: Iterable[str], where: str | None = None) -> int:
        """Delete the rows with these keys, of which the SQL filter may keep some; return how many."""
        listed, also = sorted(ids), f" AND {where}" if where else ""
        parts = (", ".join(map(quote, listed[start : start + IDS])) for start in range(0, len(listed), IDS))
        return sum(self.delete(f"{self.key} IN ({part}){also}") for part in parts)

    def digest(self, columns: Sequence[str] | None = None, where: str | None = None, tag: str | None = None) -> str:
        """A hash of the rows' content in the given columns, independent of how it was written, as 16 hexadecimal digits."""
        import pandas as pd

        names = list(columns or self.schema.names)
        if self.key not in names:
            names = [self.key, *names]
        table = self.read(names, where, tag).select(names).sort_by(self.key)
        # whole numbers beside a missing one would become floats, and lose digits
        hashes = pd.util.hash_pandas_object(table.to_pandas(integer_object_nulls=True), index=False)
        digest = hashlib.blake2b(hashes.to_numpy().tobytes(), digest_size=8)
        for column in table.columns:
            if pa.types.is_floating(column.type) and column.null_count:  # pandas has one value for missing and NaN
                digest.update(column.is_null().to_numpy().tobytes())
        return digest.hexdigest()

    def fragments(self) -> int:
        """The number of fragments (data files) of the table."""
        dataset = self._open()
        return 0 if dataset is None else len(dataset.get_fragments())

    def _compact(self) -> None:
        dataset = self._open()
        if len(dataset.get_fragments()) > MAX_FRAGMENTS:
            try:
                dataset.optimize.compact_files()
            except OSError as error:  # another process wrote meanwhile: the next writer compacts
                if "commit conflict" not in str(error):
                    raise


def quote(value: str) -> str:
    """Quote a value as an SQL string for a filter."""
    return "'" + value.replace("'", "''") + "'"


def _differs(old: pa.Array, new: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_list(new.type) or pa.types.is_list(new.type):
        return pa.array([a != b for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True)], pa.bool_())
    unequal = pc.fill_null(pc.not_equal(old, new), False)
    if pa.types.is_floating(new.type):  # NaN differs from itself
        unequal = pc.and_(unequal, pc.invert(pc.fill_null(pc.and_(pc.is_nan(old), pc.is_nan(new)), False)))
    return pc.or_(unequal, pc.not_equal(pc.is_null(old), pc.is_null(new)))


def _last_of_each(rows: pa.Table, key: str) -> pa.Table:
    positions = {value: i for i, value in enumerate(rows[key].to_pylist())}
    return rows if len(positions) == rows.num_rows else rows.take(sorted(positions.values()))
