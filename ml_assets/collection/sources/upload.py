"""Records that were pushed to the collection API, and those that monitoring sends back to people. Every project has it."""

from collections.abc import Iterator
from typing import ClassVar

from ml_assets.collection.sources.base import BadRecord, Source, SourceFile, listing
from ml_assets.collection.sources.table import TableSource, rows_of
from ml_assets.home import home
from ml_assets.records import Record


class Upload(Source):
    """The project's inbox: one file per accepted request, `content` and what came with it."""

    name_in_yaml: ClassVar[str] = "upload"

    name: str = "upload"
    """Name of the source: samples, rejects and reports carry it."""
    project: str = ""
    """Filled in by the project."""

    def files(self) -> list[SourceFile]:
        """The files of the inbox; none before the first push."""
        folder = home() / "inbox" / self.project / "samples"
        return listing(str(folder)) if folder.is_dir() else []

    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """Batches of records; a push may carry a label with its labeler."""
        table = TableSource(name=self.name, path=uri, content="content", split=self.split)
        records: list[Record | BadRecord] = []
        for number, row in enumerate(rows_of(uri, "jsonl", ["content", "client"]), 1):
            record = table.record(row, f"{uri}#{number}")
            if isinstance(record, Record) and isinstance(row, dict):
                picked = row["client"] == "monitoring"
                record = Record(
                    record.content,
                    record.origin,
                    # picked for being uncertain, not at random: a test split must not hold them
                    split="train" if picked else self.split,
                    group=row.get("group"),
                    label=row.get("label"),
                    labeler=row.get("labeler") or row["client"],
                    labeler_kind=row.get("labeler_kind") or "program",
                    columns={**(row.get("columns") or {}), "client": row["client"]},
                    source="production" if picked else None,
                )
            records.append(record)
        yield records
