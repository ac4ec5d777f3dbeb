"""Tables of image URLs with captions (LAION, COYO, DataComp, CC3M, CC12M, PMD): every row is a document of one pair."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infimm_data.document import Document, ImageNode, Origin, TextNode, new_document
from infimm_data.errors import ConfigError, SourceError, did_you_mean
from pipelines.annotations.caption_sets import SETS, Columns
from pipelines.records.delimited import Header
from pipelines.records.files import Record
from pipelines.records.frame import preview_rows
from pipelines.records.parts import file_name, table_parts
from pipelines.records.rows import SUFFIXES, RowFormat, read_rows, table_columns
from pipelines.records.values import (
    BadValue,
    as_pixels,
    as_slug,
    as_text,
    first_of,
    stored_measures,
)
from pipelines.sources.contract import Preview, Skipped, WorkItem

_UNKNOWN_LICENCES = frozenset(("?", "nan", "none", "null"))  # LAION writes "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCaptions:
    """path: a file, a folder or a glob of .parquet, .csv, .tsv, .jsonl (the last three also .gz, .zip), local or a URL.

    preset: the set whose columns these are, one of `pipelines.annotations.caption_sets.SETS`. url_column,
    caption_column, alt_column, id_column, width_column, height_column, licence_column: a column's name where it is
    not the preset's; numbers, slugs: columns to keep as measures, in place of the preset's; header: the columns of
    CSV and TSV files that do not begin with them. bytes_per_item: stored bytes that one task reads of a file that
    can be cut (`table_parts`): 16 MB of LAION's Parquet are about 150,000 pairs. The cut changes no document.
    """

    path: str
    preset: str = "generic"
    url_column: str | None = None
    caption_column: str | None = None
    alt_column: str | None = None
    id_column: str | None = None
    width_column: str | None = None
    height_column: str | None = None
    licence_column: str | None = None
    numbers: tuple[str, ...] | None = None
    slugs: tuple[str, ...] | None = None
    header: tuple[str, ...] | None = None
    bytes_per_item: int = 16 << 20

    def __post_init__(self) -> None:
        """Raise ConfigError on an unknown preset or parts of nothing."""
        if self.preset not in SETS:
            hint = did_you_mean(self.preset, SETS)
            raise ConfigError(f"preset: unknown set '{self.preset}'.{hint} There are: {', '.join(SETS)}.")
        if self.bytes_per_item < 1:
            raise ConfigError(f"bytes_per_item is {self.bytes_per_item}, expected at least 1")

    def columns(self) -> Columns:
        """Return the columns that are read: the preset's, with those that the recipe names in their place."""
        given: dict[str, Any] = {
            meaning: (name,)
            for meaning in ("url", "caption", "alt", "id", "width", "height", "licence")
            if (name := getattr(self, f"{meaning}_column")) is not None
        }
        more = {name: found for name in ("numbers", "slugs", "header") if (found := getattr(self, name)) is not None}
        return replace(SETS[self.preset], **given, **more)

    def work_items(self) -> list[WorkItem]:
        """List the parts of the tables, by file name and place; raises ConfigError where there is none."""
        return table_parts(self.path, self.bytes_per_item, SUFFIXES, kind="image_captions")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document for each row with a URL and a caption; for every other row a Skipped.

        A pair's offset is its row in a Parquet file, its byte in a text file (of a .gz once decompressed). An id of
        the set that stands twice in one part is read once. Raises SourceError where the file is no such table.
        """
        columns = self.columns()
        dump = file_name(item)
        _check_columns(dump, table_columns(item, self._format()), columns)
        seen: set[str] = set()
        for found in read_rows(item, self._format()):
            if isinstance(found, Skipped):
                yield found
                continue
            key = as_slug(first_of(found.data, columns.id))
            if key is not None and key in seen:
                yield Skipped(reason="repeated_id", offset=found.offset, detail=key)
                continue
            answer = _pair(found, columns, dump)
            if key is not None and isinstance(answer, Document):
                seen.add(key)
            yield answer

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield nothing: these dumps hold no image."""
        yield from ()

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell the columns, and what a sample holds: by the row counts of Parquet files, else by stored bytes."""
        return preview_rows(self, items, self._format())

    def _format(self) -> RowFormat:
        columns = self.columns()
        known = frozenset((*columns.url, *columns.caption))
        return RowFormat(columns=columns.names(), header=Header(columns.header, known))


def _check_columns(dump: str, found: tuple[str, ...], columns: Columns) -> None:
    """Raise SourceError where a table has no column for the URL or the caption."""
    for meaning, names in (("url", columns.url), ("caption", columns.caption)):
        if found and not set(names) & set(found):
            raise SourceError(
                f"{dump}: no column for the {meaning}: found {', '.join(found)[:300]}; expected {' or '.join(names)}. "
                f"Set preset or {meaning}_column."
            )


def _pair(record: Record, columns: Columns, dump: str) -> Document | Skipped:
    """Return the document of a row, or why it is none."""
    row, offset = record.data, record.offset
    url = ""
    try:
        url = as_text(first_of(row, columns.url))
        caption = as_text(first_of(row, columns.caption))
        alt = as_text(first_of(row, columns.alt))
    except BadValue as bad:
        return Skipped(reason=bad.reason, offset=offset, url=url, detail=bad.detail)
    if not url or not caption:
        return Skipped(reason="no_caption" if url else "no_url", offset=offset, url=url)
    licence = as_slug(first_of(row, columns.licence)) or ""
    image = ImageNode(
        url=url,
        alt=alt,
        caption=caption,
        width=as_pixels(first_of(row, columns.width)),
        height=as_pixels(first_of(row, columns.height)),
        scores=stored_measures(row, columns.numbers, columns.slugs),
    )
    origin = Origin(dump=dump, offset=offset, url=url, licence="" if licence.lower() in _UNKNOWN_LICENCES else licence)
    return new_document((image, TextNode(text=caption)), origin)
