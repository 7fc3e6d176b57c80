"""The inbox as a source: records pushed to the collection API, and predictions that monitoring sends back to annotators."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_assets.collection.sources.base import BadRecord, Source, SourceFile, listing
from ml_assets.collection.sources.reading.rows import rows_of
from ml_assets.collection.sources.table import TableSource
from ml_assets.errors import InvalidValue
from ml_assets.spool import speakers
from ml_assets.spool.inbox import arrival_of
from ml_assets.state.clock import moment
from ml_assets.state.home import home
from ml_assets.store.records import Record


class Upload(Source):
    """The project's inbox: one file per accepted request, with the content of each record and its further fields."""

    name_in_yaml: ClassVar[str] = "upload"

    name: str = "upload"
    """Name of the source: samples, rejects and reports carry it."""
    project: str = ""
    """Filled in by the project."""

    def files(self) -> list[SourceFile]:
        """The files of the inbox in the order of arrival; an empty list before the first push."""
        folder = home() / "inbox" / self.project / "samples"
        found = listing(str(folder)) if folder.is_dir() else []
        return sorted(found, key=lambda file: (arrival_of(file.uri) or 0, file.uri))

    def read(self, uri: str) -> Iterator[list[Record | BadRecord]]:
        """Yield batches of records, with their labels if they were pushed with any."""
        table = TableSource(name=self.name, path=uri, content="content", split=self.split)
        arrival = arrival_of(uri) or 0
        records: list[Record | BadRecord] = []
        for number, row in enumerate(rows_of(uri, "jsonl", ["content", "client"]), 1):
            record = table.record(row, f"{uri}#{number}")
            if isinstance(record, Record) and isinstance(row, dict):
                record = self._pushed(record, row, arrival)
            records.append(record)
        yield records

    def _pushed(self, record: Record, row: dict[str, Any], arrival: int) -> Record | BadRecord:
        """The record with the other fields of its inbox line, or a `BadRecord` if these are invalid.

        They are checked, because anybody who can write to the home may have made the file.
        """
        try:
            line = _Line.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return BadRecord(record.origin, f"{where} of the pushed line is wrong: {first['msg']}", repr(row)[:200])
        picked = line.client == speakers.MONITORING
        labeler: str | None = None
        kind, given_at, refused = "program", None, None
        if line.label is not None:
            try:
                labeler, kind = speakers.of_line(row)
                given_at = moment(line.received_at) if line.received_at else None
            except (speakers.BadName, speakers.MayNotSpeak, InvalidValue) as error:
                refused = str(error)
        return Record(
            record.content,
            record.origin,
            # chosen for low confidence, not at random, so they would bias a test split
            split="train" if picked else self.split,
            group=line.group,
            label=line.label,
            labeler=labeler,
            labeler_kind=kind,
            columns={**(line.columns or {}), "client": line.client},
            source=speakers.PRODUCTION if picked else None,
            arrival=arrival,
            given_at=given_at,
            refused=refused,
        )


class _Line(BaseModel):
    """The fields of an inbox line that may accompany the content."""

    model_config = ConfigDict(strict=True, extra="ignore")

    client: str
    group: str | None = None
    label: Any = None
    columns: dict[str, Any] | None = None
    received_at: str | None = None
