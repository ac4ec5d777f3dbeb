"""Objects of JSON, one a line (behind a key and a time in cdxj); a broken line costs itself only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.records.files import Record
from pipelines.records.json_constants import loads
from pipelines.records.lines import Line
from pipelines.sources.contract import Skipped

SUFFIXES = tuple(f".{kind}{packed}" for kind in ("jsonl", "ndjson", "json") for packed in ("", ".gz", ".zip"))
CDX_SUFFIXES = tuple(f".{kind}{packed}" for kind in ("cdxj", "cdx") for packed in ("", ".gz"))


def read_json_lines(lines: Iterable[Line | Skipped], dump: str, *, is_cdx: bool) -> Iterator[Record | Skipped]:
    """Yield the object of each line; what is none as Skipped `not_json`."""
    for line in lines:
        if isinstance(line, Skipped):
            yield line
            continue
        begin = max(line.data.find(b"{"), 0) if is_cdx else 0
        try:
            data = loads(line.data[begin:])
        except (ValueError, RecursionError) as error:  # a wrong encoding is a ValueError too
            yield Skipped(reason="not_json", offset=line.offset, detail=f"{dump}: {error}")
            continue
        yield checked(Record(dump, line.offset, data))


def checked(record: Record) -> Record | Skipped:
    """Return the record, or a Skipped where it is no object."""
    if isinstance(record.data, dict):
        return record
    detail = f"{record.dump}: {type(record.data).__name__}, expected an object"
    return Skipped(reason="not_json", offset=record.offset, detail=detail)
