"""Rows of a CSV, TSV or JSON lines file, plain or gzip, a line at a time; a broken row costs itself only."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from infimm_data.errors import SourceError
from pipelines.sources.contract import Skipped

MAX_LINE_BYTES = 1 << 20  # a caption and a URL take some hundred; more is damage or an attack
MAX_LINES_PER_RECORD = 64  # that quotes may hold together in a CSV; an unclosed quote swallows no more than these
_BOM = b"\xef\xbb\xbf"

Values = Mapping[str, Any]
Line = tuple[int, bytes]


class TextRows:
    """An open text table of which the lines that begin in `span` (bytes; None: all) are read."""

    def __init__(
        self, file: IO[bytes], name: str, span: tuple[int, int] | None, *,
        header: tuple[str, ...] | None, known: frozenset[str],
    ) -> None:  # fmt: skip
        """name: of the file, its end tells the format; header, known: as `open_rows` takes them.

        Raises SourceError when a CSV or TSV has no header and none is given.
        """
        plain = name.lower().removesuffix(".gz")
        is_gzip = plain != name.lower()
        self._file: Any = gzip.GzipFile(fileobj=file) if is_gzip else file
        self._name, self._span = name, span
        self._is_json, self._is_csv = plain.endswith(".jsonl"), plain.endswith(".csv")
        self._begin = 0  # of the first row, behind a byte order mark and the header
        self.columns: tuple[str, ...] = ()
        if not self._is_json:
            self.columns = self._header(header, known)

    def _header(self, given: tuple[str, ...] | None, known: frozenset[str]) -> tuple[str, ...]:
        try:
            first = self._file.readline(MAX_LINE_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(f"{self._name}: no gzip file ({error}); remove it or fetch it again.") from None
        named = tuple(self._fields(first.removeprefix(_BOM).decode("utf-8", "replace")))
        if known.intersection(named):
            self._begin = len(first)
            return named
        if given is None:
            found = ", ".join(named)[:200]
            raise SourceError(
                f"{self._name}: its first line names no column ({found}); expected one of {', '.join(sorted(known))}. "
                "Set url_column and caption_column, or `header` where the file has none."
            )
        return given

    def read(self, wanted: frozenset[str]) -> Iterator[tuple[int, Values] | Skipped]:
        """Yield (byte, values); a damaged gzip ends with one Skipped for all that is behind the damage."""
        lines = _whole_records(self._lines(), self._is_row) if self._is_csv else self._lines()
        for found in lines:
            if isinstance(found, Skipped):
                yield found
                continue
            offset, line = found
            values = self._values(line)
            if isinstance(values, str):
                yield Skipped(reason=values, offset=offset, detail=line[:200].decode("utf-8", "replace"))
            else:
                yield offset, {name: values[name] for name in wanted if name in values}

    def _lines(self) -> Iterator[Line | Skipped]:
        start, end = self._span or (0, None)
        offset = max(start, self._begin)
        try:
            self._file.seek(offset - 1 if offset > self._begin else offset)
            if offset > self._begin:  # a line that began before the span belongs to the part before
                offset += self._skip_line() - 1
            while end is None or offset < end:
                line = self._file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                size = len(line)
                if size > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    size += self._skip_line()
                    yield Skipped(reason="row_too_large", offset=offset, detail=f"{size} bytes")
                elif line.strip():
                    yield offset, line.removeprefix(_BOM) if offset == 0 else line
                offset += size
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield Skipped(reason="damaged_file", offset=offset, detail=f"{error}"[:200])

    def _skip_line(self) -> int:
        """Read to the end of a line without holding it; return the bytes."""
        size = 0
        while piece := self._file.readline(MAX_LINE_BYTES):
            size += len(piece)
            if piece.endswith(b"\n"):
                break
        return size

    def _values(self, line: bytes) -> Values | str:
        """Return the values of a row, or the reason why it is none."""
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return "not_utf8"
        if self._is_json:
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                return "malformed_row"
            return row if isinstance(row, dict) else "malformed_row"
        fields = self._fields(text)
        return dict(zip(self.columns, fields, strict=True)) if len(fields) == len(self.columns) else "malformed_row"

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


def _whole_records(lines: Iterator[Line | Skipped], is_row: Callable[[bytes], bool]) -> Iterator[Line | Skipped]:
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
        record = b"".join(line for _, line in waiting[:count])
        if count is None or (count > 1 and not is_row(record)):
            count, record = 1, waiting[0][1]  # a quote that is part of the text
        yield waiting[0][0], record
        del waiting[:count]


def _lines_of_record(lines: list[Line]) -> int | None:
    """Return after how many lines every quote is closed, or None."""
    quotes = 0
    for count, (_, line) in enumerate(lines, 1):
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            return count
    return None


def _unquoted(field: str) -> str:
    """Undo the quotes that pandas writes around a TSV field; a quotation that the caption itself is stays the same."""
    if len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in field[1:-1].replace('""', ""):
        return field[1:-1].replace('""', '"')
    return field
