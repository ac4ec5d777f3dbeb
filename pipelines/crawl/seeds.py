"""The list of a crawl: page URLs out of tables and text files, streamed, and the part that each host belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from yarl import URL

from infimm_data.errors import SourceError
from pipelines import rows
from pipelines.archives.files import open_archive

TEXT_SUFFIXES = (".txt", ".txt.gz")
SUFFIXES = TEXT_SUFFIXES + rows.SUFFIXES


def list_columns(path: str) -> tuple[str, ...]:
    """Return the columns of a list; () where it is text. Raises SourceError where it cannot be read."""
    return () if path.endswith(TEXT_SUFFIXES) else rows.table_columns(path)


def read_urls(path: str, column: str) -> Iterator[str]:
    """Yield the URLs of a list in order: one per line of a .txt, else those of its `column`; blank ones are left out.

    Lines that begin with # are comments in a .txt. Raises SourceError where the file cannot be read or has no such
    column.
    """
    found: Iterator[object]
    if path.endswith(TEXT_SUFFIXES):
        found = _text_urls(path)
    else:
        if column not in (columns := rows.table_columns(path)):
            raise SourceError(f"{path}: no column {column!r}; it has {', '.join(columns)[:200]}. Set 'url_column'.")
        found = (row.get(column) for row in rows.read_rows(path, (column,)))
    for url in found:
        if isinstance(url, str) and url.strip():
            yield url.strip()


def _text_urls(path: str) -> Iterator[str]:
    with open_archive(path) as file:
        yield from (line for line in rows.read_lines(file, path) if not line.lstrip().startswith("#"))


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
