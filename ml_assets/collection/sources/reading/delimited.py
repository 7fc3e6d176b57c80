"""Reads CSV and TSV leniently: unclosed quotes, other separators, duplicate column names, invalid UTF-8."""

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from ml_assets.collection.sources.base import BadRecord
from ml_assets.collection.sources.reading.places import SourceError
from ml_assets.texts.cells import as_written

Row = dict[str, Any] | BadRecord

PREDICTED = ("predicted_label", "predicted_confidence", "predicted_scores", "predicted_by", "problem")
"""Columns by which a table written by bulk prediction is recognized; text in it that looks like a formula is escaped."""
SNIFF = 4096
EXCERPT = 200
SEPARATORS = {"csv": ",;\t|", "tsv": "\t"}
"""Possible separators by format; the first one with which the header has all needed columns is used."""
MAX_FIELD = 64 * 1024 * 1024
MANY = 5
"""Number of lines from which on a CSV record may really be several records: quoted cells may hold lines with commas."""
PATIENCE = 10
"""Number of quotes without an end within `MAX_LINES` after which each record is only looked for within one line."""
MAX_LINES = 10_000
"""Maximum number of lines of one record."""
csv.field_size_limit(MAX_FIELD)


def rows(file: IO[bytes], uri: str, format: str, needed: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file as dictionaries. Raises `SourceError` if a needed column is missing or occurs twice.

    Bytes that are not UTF-8 pass through as surrogates, so that one bad record is set aside and not the whole file.
    """
    start = file.read(SNIFF)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{uri} is UTF-16 text: save it as UTF-8")
    if b"\x00" in start.partition(b"\n")[0]:  # zero bytes after the header only reject their rows
        raise SourceError(f"{uri} is no text: it holds a zero byte at position {start.index(0)}, as pictures and archives do")
    file.seek(0)
    lines = _Lines(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    header, separator = _header(lines, SEPARATORS[format], needed)
    ours = set(PREDICTED) <= set(header)
    header = [as_written(name) for name in header] if ours else header
    need(header, needed, uri)
    for cells in _records(lines, separator, len(header), bare=format == "tsv"):
        if isinstance(cells, BadRecord):
            yield cells
        elif len(cells) != len(header):
            yield BadRecord("", f"{len(cells)} fields where the header has {len(header)}", "".join(cells[:1])[:EXCERPT])
        else:
            yield dict(zip(header, map(as_written, cells) if ours else cells, strict=True))


def need(have: Iterable[str], needed: Sequence[str], uri: str) -> None:
    """Raise `SourceError` unless each needed column occurs exactly once."""
    have = list(have)
    if missing := [name for name in needed if name not in have]:
        if any("\udc80" <= character <= "\udcff" for name in have for character in name):
            raise SourceError(f"{uri} is no UTF-8 text: its first line holds other bytes, and no column {missing[0]!r}")
        shown = ", ".join(repr(name[:40]) for name in have[:10]) + ", …" * (len(have) > 10)
        raise SourceError(f"{uri} has no column {missing[0]!r}: it has {shown or 'none'}")
    if twice := [name for name in needed if have.count(name) > 1]:
        raise SourceError(f"{uri} has {have.count(twice[0])} columns named {twice[0]!r}: give each a name of its own")


class _Lines(Iterator[str]):
    """An iterator over lines that can take lines back and limits how many one record may have.

    Args:
        text: Yields lines with their line ends.
    """

    def __init__(self, text: Iterable[str]):
        self._text = iter(text)
        self._back: deque[str] = deque()
        self.number = 0
        """Number of the line that was returned last, from 1."""
        self.record: list[str] = []
        """The lines that were returned since `begin`."""
        self.ended = False
        """Whether more lines than there are, or more than the limit, were requested since `begin`."""
        self._limit = 1

    def begin(self, limit: int = 1) -> None:
        """Begin a record of at most `limit` lines."""
        self.record, self.ended, self._limit = [], False, limit

    def __next__(self) -> str:
        """The next line; raises `StopIteration` at the end of the text or of the record's limit."""
        if len(self.record) >= self._limit:
            self.ended = True
            raise StopIteration
        try:
            line = self._back.popleft() if self._back else next(self._text)
        except StopIteration:
            self.ended = True
            raise
        self.number += 1
        self.record.append(line)
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        """Put lines back, so that they are returned again."""
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)


def _header(lines: _Lines, separators: str, needed: Sequence[str]) -> tuple[list[str], str]:
    """The names of the columns, and the separator between cells."""
    found: dict[str, list[str]] = {}
    for separator in separators:
        lines.begin(MAX_LINES)
        found[separator] = next(csv.reader(lines, delimiter=separator), [])
        if set(needed) <= {as_written(name) for name in found[separator]}:
            return found[separator], separator
        lines.give_back(lines.record)
    return found[separators[0]], separators[0]


def _records(lines: _Lines, separator: str, width: int, bare: bool) -> Iterator[list[str] | BadRecord]:
    """Yield the cells of each record that is not empty.

    A quote at the start of a cell that is never closed, or that encloses lines which are complete records, is taken as a plain
    character. Then the lines are read one by one, and the one with the quote is kept if `bare`, else set aside.

    Args:
        lines: The lines after the header.
        separator: The separator between cells.
        width: Number of cells of a record.
        bare: Whether quotes are plain characters, as in TSV; TSV files that use them for quoting are read as well.
    """
    reader, unclosed = csv.reader(lines, delimiter=separator), 0
    while True:
        lines.begin(MAX_LINES if unclosed < PATIENCE else 1)
        cells = next(reader, None)
        if not lines.record:
            return
        taken = lines.record
        if lines.ended or _swallowed(taken, separator, width, 2 if bare else MANY):
            unclosed += lines.ended
            lines.give_back(taken[1:])
            if bare:
                yield _alone(taken[0], separator)
            else:
                why = f"a quote in line {lines.number} is not closed: write each quote in a cell twice, and the cell in quotes"
                yield BadRecord("", why, taken[0][:EXCERPT])
        elif bare and '"' in taken[0] and not _quoted(taken, separator):
            yield _alone(taken[0], separator)
            lines.give_back(taken[1:])
        elif cells:
            yield cells


def _swallowed(taken: Sequence[str], separator: str, width: int, many: int) -> bool:
    """Whether each of the lines that quotes join to one record has, by itself, as many cells as the header."""
    return width > 1 and len(taken) >= many and all(len(_alone(line, separator)) == width for line in taken)


def _quoted(lines: Sequence[str], separator: str) -> bool:
    """Whether the lines are a correctly quoted record, with each quote inside a cell doubled."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    return True


def _alone(line: str, separator: str) -> list[str]:
    """The cells of one line, with quotes as plain characters."""
    return next(csv.reader([line], delimiter=separator, quoting=csv.QUOTE_NONE), [])
