"""The one reader of rows: Parquet, Arrow, CSV, TSV, lines of JSON, cdxj, JSON, also .gz and .zip, or `datasets`.

What a file is, its first bytes tell; what a text is (CSV, TSV, cdxj, else JSON), its name. Everything is streamed, and
what is damaged is a Skipped: no reader of rows ends early without a word, none loses a neighbour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, BinaryIO

from infimm_data.errors import SourceError
from pipelines.records import delimited, json_lines, tables
from pipelines.records.delimited import Delimited, Header
from pipelines.records.files import Record, open_file
from pipelines.records.hub import PREFIX, hub_columns, hub_rows
from pipelines.records.json_constants import loads
from pipelines.records.json_lines import checked, read_json_lines
from pipelines.records.json_values import read_json_values
from pipelines.records.lines import BOM, read_lines
from pipelines.records.parts import file_name
from pipelines.records.streams import DAMAGED, open_streams
from pipelines.records.tables import Table, is_table
from pipelines.sources.contract import Skipped, WorkItem

SUFFIXES = (*tables.SUFFIXES, *delimited.SUFFIXES, *json_lines.SUFFIXES)
MAX_RECORD_BYTES = 1 << 20  # of a URL and a caption, which take some hundred: more is damage or an attack
DELIMITED = ("csv", "tsv")
CDX = ("cdxj", "cdx")
_PROBE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFormat:
    """What a caller expects of a file of rows.

    columns: that are read, None for all; required: those without which a table is another kind of file; max_bytes: of
    one line, or of one JSON object over many lines; header: of CSV and TSV; place: where records stand in a JSON object
    (`read_json_values`), None where the file is a list, one object, or lines; accepts_any: whether an entry of these
    may be something else than an object; split: of "datasets:".
    """

    columns: Collection[str] | None = None
    required: Sequence[str] = ()
    max_bytes: int = MAX_RECORD_BYTES
    header: Header = field(default_factory=Header)
    place: str | None = None
    accepts_any: bool = False
    split: str = "train"


def read_rows(item: WorkItem, expected: RowFormat) -> Iterator[Record | Skipped]:
    """Yield the records of a work item in order, and a Skipped for each that cannot be read.

    Reasons: `damaged_record`, `record_too_large`, `not_json`, `not_utf8`, `malformed_row`, and `empty_file` of one that
    has no bytes. Raises SourceError where the file cannot be read as what it is, or lacks a required column.
    """
    if item.path.startswith(PREFIX):
        yield from hub_rows(item, expected.split, expected.columns, expected.required)
        return
    name = file_name(item)
    with open_file(item.path) as file:
        start = file.read(6)
        if is_table(start) or item.path.lower().endswith(tables.SUFFIXES):
            table = Table(file, name)
            _check_columns(table.columns, name, expected.required)
            yield from table.read(expected.columns, item.span)
            return
        if not start:
            yield Skipped(reason="empty_file", detail=f"{name}: 0 bytes; is the download whole?")
            return
    for found in open_streams(item.path, name):
        if isinstance(found, Skipped):
            yield found
        else:
            yield from _stream_rows(found[1], found[0], item, expected)


def table_columns(item: WorkItem, expected: RowFormat) -> tuple[str, ...]:
    """Return the columns of a table, () of JSON, where each record names its own. Raises SourceError."""
    if item.path.startswith(PREFIX):
        return hub_columns(item, expected.split)
    with open_file(item.path) as file:
        if is_table(file.read(6)):
            return Table(file, file_name(item)).columns
    if _kind(item.path) in DELIMITED:
        for found in open_streams(item.path, file_name(item)):
            return () if isinstance(found, Skipped) else _delimited(found[1], found[0], item, expected).columns
    return ()


def columns_of(item: WorkItem, expected: RowFormat) -> tuple[str, ...]:
    """Return the columns of a work item's file; of JSON, the keys of its first object. Raises SourceError."""
    if columns := table_columns(item, expected):
        return columns
    first: Any = next((one.data for one in read_rows(item, expected) if isinstance(one, Record)), {})
    return tuple(map(str, first)) if isinstance(first, dict) else ()


def count_rows(item: WorkItem) -> int:
    """Return how many answers `read_rows` gives: by a Parquet footer, else by reading. Raises SourceError."""
    with open_file(item.path) as file:
        if is_table(file.read(6)) and (known := Table(file, item.name).num_rows) is not None:
            return known
    return sum(not (isinstance(one, Skipped) and one.reason == "empty_file") for one in read_rows(item, RowFormat()))


def _check_columns(found: Sequence[str], name: str, required: Sequence[str]) -> None:
    if missing := [column for column in required if column not in found]:
        raise SourceError(
            f"{name}: no column {', '.join(missing)}; it has {', '.join(found)[:300]}. Is it a file of this set?"
        )


def _stream_rows(stream: BinaryIO, dump: str, item: WorkItem, expected: RowFormat) -> Iterator[Record | Skipped]:
    kind = _kind(dump) or _kind(item.path)
    if kind in DELIMITED:
        rows = _delimited(stream, dump, item, expected)
        _check_columns(rows.columns, dump, expected.required)
        return rows.read()
    try:
        begin, first, is_lines = (0, b"", True) if item.span else _probed(stream, expected.place, kind)
    except DAMAGED as error:
        return iter((Skipped(reason="damaged_record", offset=0, detail=f"{dump}: {error}; the rest is lost"),))
    if is_lines:
        lines = read_lines(stream, dump, expected.max_bytes, item.span)
        return read_json_lines(lines, dump, is_cdx=kind in CDX)
    stream.read(begin)
    if expected.place is not None or first == b"[":
        found = read_json_values(stream, dump, first, expected.place, expected.max_bytes)
        return found if expected.accepts_any else (one if isinstance(one, Skipped) else checked(one) for one in found)
    return iter((_one_object(stream, dump, expected.max_bytes),))


def _delimited(stream: BinaryIO, dump: str, item: WorkItem, expected: RowFormat) -> Delimited:
    is_csv = (_kind(dump) or _kind(item.path)) == "csv"
    return Delimited(stream, dump, item.span, is_csv=is_csv, header=expected.header, max_bytes=expected.max_bytes)


def _one_object(stream: BinaryIO, dump: str, max_bytes: int) -> Record | Skipped:
    try:
        data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            detail = f"{dump}: one value of over {max_bytes} bytes"
            return Skipped(reason="record_too_large", offset=0, detail=detail)
        return checked(Record(dump, 0, loads(data)))
    except DAMAGED as error:
        return Skipped(reason="damaged_record", offset=0, detail=f"{dump}: {error}")
    except (ValueError, RecursionError) as error:
        return Skipped(reason="not_json", offset=0, detail=f"{dump}: {error}")


def _probed(stream: BinaryIO, place: str | None, kind: str) -> tuple[int, bytes, bool]:
    """Return where the first value of a JSON text stands, its first byte, and whether it is read as lines.

    It is not where records stand in an object, in a list, or the file is one object over many lines. A first line that
    is a whole list while others follow is a line of rows that is wrong.
    """
    if isinstance(stream, BufferedReader):
        head = stream.peek(_PROBE_BYTES)
    else:
        head = stream.read(_PROBE_BYTES)
        stream.seek(0)
    value = head.removeprefix(BOM).lstrip(b" \t\r\n")
    begin, first = len(head) - len(value), value[:1]
    if place is not None:
        return begin, first, False
    line, _, rest = value.partition(b"\n")
    if kind not in CDX and (line.strip() == b"{" or (first == b"[" and not (rest.strip() and _is_json(line)))):
        return begin, first, False
    return begin, first, True


def _is_json(line: bytes) -> bool:
    try:
        loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _kind(name: str) -> str:
    """Return what a name says of a file of rows: its suffix without that of how it is packed, "" where it says none."""
    plain = name.lower().removesuffix(".gz").removesuffix(".zip")
    suffix = plain.rpartition(".")[2]
    return suffix if suffix in (*DELIMITED, *CDX, "json", "jsonl", "ndjson") else ""
