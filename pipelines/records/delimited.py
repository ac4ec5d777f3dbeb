"""Rows of a CSV or TSV: quotes may hold lines of a CSV together; a broken row costs itself only."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from infimm_data.errors import SourceError
from pipelines.records.files import Record
from pipelines.records.lines import Line, read_lines
from pipelines.sources.contract import Skipped

SUFFIXES = tuple(f".{kind}{packed}" for kind in ("csv", "tsv") for packed in ("", ".gz", ".zip"))
MAX_LINES_PER_RECORD = 64  # that quotes may hold together in a CSV; an unclosed quote swallows no more than these


@dataclass(frozen=True, slots=True)
class Header:
    """given: the columns of a file whose first line does not name them, None where it must; known: names by which a
    first line is recognised as a header, None where it always is one.
    """

    given: tuple[str, ...] | None = None
    known: frozenset[str] | None = None


class Delimited:
    """An open CSV or TSV; `columns` in their order."""

    def __init__(
        self, stream: BinaryIO, dump: str, span: tuple[int, int] | None, *,
        is_csv: bool, header: Header, max_bytes: int,
    ) -> None:  # fmt: skip
        """span: bytes in which a row is to begin, None for all. Raises SourceError where columns have no name."""
        self._dump, self._is_csv = dump, is_csv
        self._lines = iter(read_lines(stream, dump, max_bytes))
        first = next(self._lines, None)
        named = tuple(self._fields(first.data.decode("utf-8", "replace"))) if isinstance(first, Line) else ()
        self.columns, self._header_at = self._header(named, first, header)
        if span is not None:
            stream.seek(0)
            self._lines = iter(read_lines(stream, dump, max_bytes, span))
        elif first is not None:
            self._lines = _with_first(first, self._lines)

    def _header(
        self, named: tuple[str, ...], first: Line | Skipped | None, header: Header
    ) -> tuple[tuple[str, ...], int]:
        """Return the columns, and where the line stands that names them: -1 where none does."""
        if isinstance(first, Line) and (header.known is None or header.known.intersection(named)):
            return named, first.offset
        if header.given is not None or first is None:
            return header.given or (), -1
        if isinstance(first, Skipped):
            raise SourceError(f"{self._dump}: no header ({first.reason}: {first.detail}); expected a table")
        found, known = ", ".join(named)[:200], ", ".join(sorted(header.known or ()))
        raise SourceError(
            f"{self._dump}: its first line names no column ({found}); expected one of {known}. "
            "Set url_column and caption_column, or `header` where the file has none."
        )

    def read(self) -> Iterator[Record | Skipped]:
        """Yield the rows; those that are none as Skipped: `malformed_row`, `not_utf8`, `damaged_record` (NUL bytes)."""
        for line in _whole_records(self._lines, self._is_row) if self._is_csv else self._lines:
            if isinstance(line, Skipped):
                yield line
            elif line.offset != self._header_at:
                yield self._record(line)

    def _record(self, line: Line) -> Record | Skipped:
        if b"\0" in line.data:  # blocks that a disk or a download has lost; the line breaks in them are gone too
            return Skipped(reason="damaged_record", offset=line.offset, detail=f"{self._dump}: NUL bytes in a row")
        try:
            fields = self._fields(line.data.decode())
            reason = "" if len(fields) == len(self.columns) else "malformed_row"
        except UnicodeDecodeError:
            fields, reason = [], "not_utf8"
        if reason:
            return Skipped(reason=reason, offset=line.offset, detail=line.data[:200].decode("utf-8", "replace"))
        return Record(self._dump, line.offset, dict(zip(self.columns, fields, strict=True)))

    def _fields(self, line: str) -> list[str]:
        if not self._is_csv:
            return [_unquoted(field) for field in line.rstrip("\r\n").split("\t")]
        try:
            rows = list(csv.reader(io.StringIO(line, newline=""), strict=True))
        except csv.Error:
            return []
        return rows[0] if len(rows) == 1 else []

    def _is_row(self, record: bytes) -> bool:
        return len(self._fields(record.decode("utf-8", "replace"))) == len(self.columns)


def _with_first(first: Line | Skipped, rest: Iterator[Line | Skipped]) -> Iterator[Line | Skipped]:
    yield first
    yield from rest


def _whole_records(lines: Iterable[Line | Skipped], is_row: Callable[[bytes], bool]) -> Iterator[Line | Skipped]:
    """Join the lines that a quoted line break holds together; a stray quote costs no line but its own."""
    waiting: list[Line] = []
    for found in lines:
        if isinstance(found, Skipped):
            yield from _resolved(waiting, is_row, is_end=True)
            yield found
        else:
            waiting.append(found)
            yield from _resolved(waiting, is_row, is_end=False)
    yield from _resolved(waiting, is_row, is_end=True)


def _resolved(waiting: list[Line], is_row: Callable[[bytes], bool], *, is_end: bool) -> Iterator[Line]:
    """Take from `waiting` each record that is whole: one line, or several that are a row only together."""
    while waiting:
        count = _lines_of_record(waiting)
        if count is None and not is_end and len(waiting) < MAX_LINES_PER_RECORD:
            return  # its quote may still close
        record = b"".join(line.data for line in waiting[:count])
        if count is None or (count > 1 and not is_row(record)):
            count, record = 1, waiting[0].data  # a quote that is part of the text
        yield Line(waiting[0].offset, record)
        del waiting[:count]


def _lines_of_record(lines: list[Line]) -> int | None:
    """Return after how many lines every quote is closed, or None."""
    quotes = 0
    for count, line in enumerate(lines, 1):
        quotes += line.data.count(b'"')
        if quotes % 2 == 0:
            return count
    return None


def _unquoted(field: str) -> str:
    """Undo the quotes that pandas writes around a TSV field; a quotation that the caption itself is stays the same."""
    if len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in field[1:-1].replace('""', ""):
        return field[1:-1].replace('""', '"')
    return field
