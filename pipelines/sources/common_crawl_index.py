"""Common Crawl by index rows: pages at (file name, offset, length), by byte range, as OBELICS was made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from infimm_data.document import Document
from infimm_data.errors import ConfigError, SourceError
from pipelines.archives.captures import INDEX, BadRow, Capture, read_captures
from pipelines.archives.ranges import read_ranges
from pipelines.pages import PageReader, inline_images
from pipelines.preview import sampled
from pipelines.records.files import list_items
from pipelines.records.json_lines import CDX_SUFFIXES
from pipelines.records.rows import SUFFIXES, columns_of, count_rows
from pipelines.sources.contract import Preview, Skipped, WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonCrawlIndex:
    """The pages that rows of an index point to; each is the document that reading its whole file would give.

    path: a table, a folder or a glob of them (Parquet, csv, tsv, JSON lines, cdxj, the latter also .gz), local or
    any fsspec URL, in the layouts of `pipelines.archives.captures`; base: where the named files lie: https, s3 or
    a local mirror; rows_per_item: of one work item, which are sorted, so that reads go forward in each file;
    max_rows: the first so many of all, None is all; requests: under way at once per work item (Common Crawl
    answers 503 when pressed); max_page_bytes, max_depth: as `PageReader`; the former also bounds a stored record.
    """

    listing: ClassVar[tuple[str, ...]] = ("path", "base", "max_rows", "requests")

    path: str
    base: str = "https://data.commoncrawl.org/"
    rows_per_item: int = 10_000
    max_rows: int | None = None
    requests: int = 4
    max_page_bytes: int = 10_000_000
    max_depth: int = 10_000

    def __post_init__(self) -> None:
        """Raise ConfigError where a number is below 1."""
        for name in ("rows_per_item", "requests", "max_rows"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"'{name}' is {value}: expected 1 or more")

    def work_items(self) -> list[WorkItem]:
        """List runs of rows; raises ConfigError where there is no table or one cannot be counted.

        Counting reads every table that is not Parquet once.
        """
        items: list[WorkItem] = []
        left = self.max_rows
        for table in list_items(self.path, (*SUFFIXES, *CDX_SUFFIXES), "common_crawl_index"):
            try:
                rows = count_rows(table)
            except SourceError as error:
                raise ConfigError(str(error)) from None
            wanted = rows if left is None else min(rows, left)
            left = None if left is None else left - wanted
            for first in range(0, wanted, self.rows_per_item):
                last = min(first + self.rows_per_item, wanted)
                size = table.size_bytes * (last - first) // rows
                part = replace(table, index=len(items), name=f"{table.name}[{first}:{last}]", size_bytes=size)
                items.append(replace(part, span=(first, last)))
        if not items:
            raise ConfigError(f"common_crawl_index path {self.path!r} holds no row; expected an index of captures")
        return items

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell the columns and the exact rows; how many are pages, and how large, from the first work item."""
        num_rows = sum(last - first for item in items if item.span for first, last in (item.span,))
        try:
            columns = columns_of(items[0], INDEX)
            lengths = [row.length for row in _rows(items[0]) if isinstance(row, Capture)]
        except SourceError as error:
            return Preview(how=f"the sample cannot be read: {error}")
        stored = round(sum(lengths) / len(lengths) * num_rows) if lengths else 0
        return replace(sampled(self, items, num_rows=num_rows), columns=columns, size_bytes=stored)

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield the documents of a run of rows, in the order of file name and offset; bad rows come first.

        Raises SourceError where the table cannot be read or the store does not answer.
        """
        pages = PageReader(max_page_bytes=self.max_page_bytes, max_depth=self.max_depth)
        captures: list[Capture] = []
        for row in _rows(item):
            if isinstance(row, BadRow):
                yield Skipped(reason="bad_index_row", url=row.url, detail=f"row {row.row}: {row.problem}")
            elif row.length > self.max_page_bytes:
                detail = f"{row.length} bytes as stored, over {self.max_page_bytes}"
                yield Skipped(reason="page_too_large", offset=row.offset, url=row.url, detail=detail)
            else:
                captures.append(row)
        for capture, record in read_ranges(sorted(captures), self.base, pages.keep, self.requests):
            if record is None:
                yield Skipped(
                    reason="record_not_found", offset=capture.offset, url=capture.url, detail=capture.filename
                )
            else:
                yield pages.read(record, capture.filename) or Skipped(
                    reason="no_page", offset=capture.offset, url=capture.url, detail=capture.filename
                )

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield what stands in `data:` URIs; everything else is for the web to answer."""
        yield from inline_images(urls, self.max_page_bytes)


def _rows(item: WorkItem) -> Iterator[Capture | BadRow]:
    first, last = item.span or (0, 0)
    yield from read_captures(item, first, last)
