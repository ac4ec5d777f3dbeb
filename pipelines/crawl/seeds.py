"""The list of a crawl: page URLs out of tables and text files, streamed, and the part that each host belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TypeVar

from yarl import URL

from infimm_data.errors import SourceError
from pipelines.records import rows
from pipelines.records.files import Record
from pipelines.records.json_lines import CDX_SUFFIXES
from pipelines.records.lines import read_lines
from pipelines.records.rows import MAX_RECORD_BYTES, RowFormat, columns_of, read_rows
from pipelines.records.streams import open_streams
from pipelines.sources.contract import Skipped, WorkItem

TEXT_SUFFIXES = (".txt", ".txt.gz")
SUFFIXES = (*TEXT_SUFFIXES, *rows.SUFFIXES, *CDX_SUFFIXES)

T = TypeVar("T")


def list_columns(path: str) -> tuple[str, ...]:
    """Return the columns of a list; () where it is text. Raises SourceError where it cannot be read."""
    return () if path.endswith(TEXT_SUFFIXES) else columns_of(_item(path), RowFormat())


def read_urls(path: str, column: str) -> Iterator[str]:
    """Yield the URLs of a list in order: one per line of a .txt, else those of its `column`; blank ones are left out.

    Lines that begin with # are comments in a .txt. Raises SourceError where the file cannot be read, breaks off, or has
    no such column.
    """
    found: Iterator[object]
    if path.endswith(TEXT_SUFFIXES):
        found = _text_urls(path)
    else:
        if column not in (columns := list_columns(path)):
            raise SourceError(f"{path}: no column {column!r}; it has {', '.join(columns)[:200]}. Set 'url_column'.")
        rows = map(_unbroken, read_rows(_item(path), RowFormat(columns=(column,))))
        found = (row.data.get(column) for row in rows if isinstance(row, Record))
    for url in found:
        if isinstance(url, str) and url.strip():
            yield url.strip()


def _text_urls(path: str) -> Iterator[str]:
    for stream in map(_unbroken, open_streams(path, path)):
        for line in map(
            _unbroken, () if isinstance(stream, Skipped) else read_lines(stream[1], path, MAX_RECORD_BYTES)
        ):
            text = "" if isinstance(line, Skipped) else line.data.decode("utf-8", "replace").strip()
            if text and not text.startswith("#"):
                yield text


def _unbroken(found: T) -> T:
    """Return what a reader gives; raises SourceError where it says that the rest of a list is lost."""
    if isinstance(found, Skipped) and found.reason in ("damaged_record", "record_too_large"):
        raise SourceError(f"{found.detail}; replace the list")
    return found


def _item(path: str) -> WorkItem:
    return WorkItem(index=0, name=path, path=path, size_bytes=0)


def host_of(url: str) -> str:
    """Return the host of a URL as it is connected to, "" where it has none."""
    try:
        return URL(url).raw_host or ""
    except ValueError:
        return ""


def part_of(host: str, parts: int) -> int:
    """Return the part (0..parts-1) that a host belongs to: all its pages are asked for by one task, at its pace."""
    digest = hashlib.blake2b(host.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % parts
