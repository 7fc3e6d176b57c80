"""Reads new and changed files of the sources: stores samples, counts duplicates, sets bad records aside with the reason.

Reading a file again, because it changed or because a crash came before its receipt, gives the same tables. A file that cannot
be read has a receipt too: it is tried again when it has changed, and now and then because its disk or server may be back.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ml_assets.collection import labels as given
from ml_assets.collection.accept import LABEL, judge, reject
from ml_assets.collection.settings import CollectionSettings
from ml_assets.collection.sources import BadRecord, Source, SourceError, SourceFile, Upload
from ml_assets.collection.sources.base import BATCH, fingerprint
from ml_assets.collection.sources.reading.places import spellings
from ml_assets.state.digests import content_id
from ml_assets.store import ProjectStore, quote
from ml_assets.store.records import GivenLabel, Record, Reject, Sample, is_text
from ml_assets.store.schemas import rows
from ml_assets.tasks import Task

MAX_BYTES = 64 * 1024 * 1024
UNREADABLE = "unreadable-"
"""Prefix of the fingerprint in the receipt of a file that could not be read. The reason is in `rejects`, origin `<uri>#file`.
"""
AGAIN = timedelta(hours=1)
"""Time after which an unreadable file is tried again although it has not changed: a disk or a server may be back."""
COUNTS = ("received", "accepted", "duplicates", "rejected")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Collected:
    """The counts and problems of one pass over the sources.

    Args:
        received: Records read, which is `accepted + duplicates + rejected`.
        problems: One sentence per file or source that could not be read.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    files: int = 0
    problems: tuple[str, ...] = ()


def all_sources(project: str, settings: CollectionSettings) -> list[Source]:
    """The sources of the project's YAML and its inbox."""
    return [*settings.sources, Upload(project=project)]


def new_files(
    store: ProjectStore, settings: CollectionSettings, task: Task, at: datetime
) -> tuple[list[tuple[Source, SourceFile]], list[str]]:
    """The files that must be read, and a sentence for each source or file that cannot be read.

    A file is read when it is new or changed, and again when other options would make something else of it.
    """
    receipts = store.table("receipts").read(["id", "fingerprint", "at"]).to_pylist()
    known = {r["id"]: r["fingerprint"] for r in receipts}
    known |= {
        r["id"]: r["fingerprint"].removeprefix(UNREADABLE)
        for r in receipts
        if r["fingerprint"].startswith(UNREADABLE) and at - r["at"] < AGAIN
    }
    accepted = content_id(settings.model_dump_json(include={"modality", "min_length", "max_length"}), task.model_dump_json())
    found, problems = [], []
    for source in all_sources(store.project, settings):
        options = content_id(accepted, source.model_dump_json(exclude={"path", "hint"}, exclude_defaults=True))[:8]
        try:
            listed = [replace(file, fingerprint=f"{file.fingerprint}-{options}") for file in source.files()]
        except SourceError as error:
            problems.append(f"source {source.name!r}: {error}")
            continue
        for file in listed:
            if not is_text(file.uri):
                problems.append(f"source {source.name!r}: {file.uri!a} has a name that is not UTF-8: rename it")
            elif file.fingerprint not in {known.get(content_id(source.name, uri)) for uri in spellings(file.uri)}:
                found.append((source, file))
    return found, problems


def collect(store: ProjectStore, settings: CollectionSettings, task: Task, at: datetime, progress: Progress) -> Collected:
    """Read all new and changed files; one that cannot be read is a problem in the result and does not stop the others."""
    found, problems = new_files(store, settings, task, at)
    known = store.table("receipts").ids()
    readings: list[_Reading] = []
    waiting: list[tuple[_Reading, Record | BadRecord]] = []

    def write() -> None:
        _write(store, settings, task, waiting, [r for r in readings if r.ended and not r.written], at, progress)
        waiting.clear()

    for source, file in found:
        reading = _Reading(source, file)
        reading.again = not known.isdisjoint(reading.ids)
        readings.append(reading)
        try:
            for batch in source.read(file.uri):
                waiting += [(reading, record) for record in batch]
                # small files are written together: one by one, each would cost several commits
                if len(waiting) >= BATCH or sum(_size(record) for _, record in waiting) > MAX_BYTES:
                    write()
            if file.fingerprint.startswith(f"{fingerprint(file.uri)}-"):
                reading.complete = True
                continue
            waiting = [(other, record) for other, record in waiting if other is not reading]  # the last may be incomplete
            problems.append(f"source {source.name!r}: {file.uri} changed while it was read: the next run reads it again")
        except SourceError as error:
            reading.problem = str(error)
            problems.append(f"source {source.name!r}: {error}")
    write()
    totals = {name: sum(r.counts[name] for r in readings if r.complete) for name in COUNTS}
    return Collected(**totals, files=sum(r.complete for r in readings), problems=tuple(problems))


@dataclass
class _Reading:
    """The state of one file while it is read.

    Args:
        again: Whether the file was read before.
        seen: Ids of the samples that were found in the file so far.
        rejects: Ids of the file's rejects.
        labels: Ids of the labels in the file; filled only if the file was read before.
        complete: Whether the file was read to its end.
        problem: Why the file could not be read.
        written: Whether its receipt is stored.
    """

    source: Source
    file: SourceFile
    again: bool = False
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    seen: set[str] = field(default_factory=set)
    rejects: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    complete: bool = False
    problem: str = ""
    written: bool = False

    @property
    def ended(self) -> bool:
        """Whether the file was read to its end or cannot be read."""
        return self.complete or bool(self.problem)

    @property
    def ids(self) -> list[str]:
        """Id of the file's receipt, followed by the ids that earlier versions of the program gave to it."""
        return [content_id(self.source.name, uri) for uri in spellings(self.file.uri)]

    def holds(self, row: Sample, known: Sample) -> bool:
        """Whether the stored sample `known`, which the file holds as `row`, has its origin in this file."""
        places = {known["origin"], known["origin"].rpartition("#")[0]}
        return row["source"] == known["source"] and not places.isdisjoint(spellings(self.file.uri))


def _write(
    store: ProjectStore,
    settings: CollectionSettings,
    task: Task,
    waiting: list[tuple[_Reading, Record | BadRecord]],
    ended: list[_Reading],
    at: datetime,
    progress: Progress,
) -> None:
    """Write the waiting records, then the receipts of the files that were read to their end or cannot be read."""
    good: list[tuple[_Reading, Sample]] = []
    labels: list[tuple[_Reading, GivenLabel, Record | BadRecord]] = []
    rejects: list[Reject] = []
    for reading, record in waiting:
        if reading.source.group_from_source and isinstance(record, Record):
            record = replace(record, group=reading.source.name)
        verdict = judge(record, reading.source.name, settings, task, at)
        reading.counts["received"] += 1
        if verdict.sample:
            good.append((reading, verdict.sample))
        else:
            reading.counts["rejected"] += 1
        if verdict.label:
            labels.append((reading, verdict.label, record))
        if verdict.reject:
            rejects.append(verdict.reject)
            reading.rejects.add(verdict.reject["id"])
    for reading in ended:
        if reading.problem:
            rejects.append(reject(reading.source.name, f"{reading.file.uri}#file", reading.problem, "", at))
            reading.rejects.add(rejects[-1]["id"])
    _merge(store, good)
    rejects += _keep_labels(store, labels, at)
    store.table("rejects").insert(rows("rejects", rejects))
    for reading in ended:
        if reading.again:
            _forget_mended(store, reading)
            if reading.complete and reading.labels:
                given.take_back(store, spellings(reading.file.uri), reading.labels)
            if older := reading.ids[1:]:
                store.table("receipts").remove(older)
    receipts = [
        {
            "id": r.ids[0],
            "source": r.source.name,
            "uri": r.file.uri,
            "fingerprint": UNREADABLE * bool(r.problem) + r.file.fingerprint,
            **r.counts,
            "at": at,
        }
        for r in ended
    ]
    store.table("receipts").upsert(rows("receipts", receipts))
    for r in ended:
        r.written = True
        r.seen.clear()
        r.rejects.clear()
        r.labels.clear()
    if complete := [r for r in ended if r.complete]:
        total = {name: sum(r.counts[name] for r in complete) for name in COUNTS}
        which = complete[0].file.uri if len(complete) == 1 else f"{len(complete)} files from {complete[0].file.uri} on"
        progress(f"{which}: {total['received']} received, {total['accepted']} accepted, {total['rejected']} rejected")


def _keep_labels(
    store: ProjectStore, labels: list[tuple[_Reading, GivenLabel, Record | BadRecord]], at: datetime
) -> list[Reject]:
    """Store the labels and return rejects for those that contradict another label of the same push."""
    _, contradicting = given.keep(store, [label for _, label, _ in labels])
    wrong, rejects = {id(label) for label in contradicting}, []
    for reading, label, record in labels:
        if reading.again and label["file"] is not None:
            reading.labels.add(label["id"])
        if id(label) in wrong and isinstance(record, Record):
            reason = f"contradicts another label of the same push by {label['labeler']!r}: {record.label!r} and others"
            rejects.append(reject(reading.source.name, record.origin + LABEL, reason, record.content, at))
            reading.rejects.add(rejects[-1]["id"])
    return rejects


def _forget_mended(store: ProjectStore, reading: _Reading) -> None:
    """Delete the rejects of earlier readings of the file that the newest reading does not have."""
    place = " OR ".join(f"origin = {quote(u)} OR starts_with(origin, {quote(u + '#')})" for u in spellings(reading.file.uri))
    rejects = store.table("rejects")
    rejects.remove(rejects.ids(f"source = {quote(reading.source.name)} AND ({place})") - reading.rejects)


def _merge(store: ProjectStore, good: list[tuple[_Reading, Sample]]) -> None:
    """Insert new samples, and count accepted records and duplicates for each file.

    A sample that stands in two places keeps its first origin; where a source fixes its split as test, it is test.
    """
    table = store.table("samples")
    stored = {r["id"]: r for r in table.take([row["id"] for _, row in good]).to_pylist()}
    write: dict[str, Sample] = {}
    for reading, row in good:
        key, known = row["id"], write.get(row["id"]) or stored.get(row["id"])
        first = key not in reading.seen and (known is None or reading.holds(row, known))
        reading.counts["accepted" if first else "duplicates"] += 1
        reading.seen.add(key)
        if known is None:
            write[key] = row
        elif _rank(row) > _rank(known):
            write[key] = {**known, "split": row["split"], "split_by": row["split_by"]}
    table.upsert(rows("samples", list(write.values())))


def _rank(row: Sample) -> int:
    return 0 if row["split_by"] == "hash" else 2 if row["split"] == "test" else 1


def unreadable(store: ProjectStore, settings: CollectionSettings) -> list[str]:
    """A sentence for each file of the sources that could not be read when it was last tried."""
    found = store.table("rejects").read(["source", "origin", "reason"], "ends_with(origin, '#file')").to_pylist()
    there = set()
    for source in all_sources(store.project, settings) if found else ():
        with suppress(SourceError):
            there |= {(source.name, f"{uri}#file") for file in source.files() for uri in spellings(file.uri)}
    return [f"source {row['source']!r}: {row['reason']}" for row in found if (row["source"], row["origin"]) in there]


def _size(record: Record | BadRecord) -> int:
    return len(record.content) if isinstance(record, Record) else 0
