"""The frame of a source whose dump is files of rows: how they are listed, read, and told of in a dry run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from infimm_data.document import Document
from infimm_data.errors import SourceError
from pipelines.preview import sampled
from pipelines.records.files import Record, list_items, open_file
from pipelines.records.hub import PREFIX, hub_items
from pipelines.records.rows import SUFFIXES, RowFormat, columns_of, read_rows
from pipelines.records.tables import Table
from pipelines.sources.contract import Preview, Skipped, Source, WorkItem

_CACHE_PREFIX = "cache-"  # what `datasets` leaves in a saved folder beside the data
_FOLDER_FILES = ("state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json")  # and describes it with
_ASKED_FILES = 4  # whose footers are read


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """path: files of rows (`pipelines.records.rows`): one, a folder or a glob, local or any fsspec URL; or
    "datasets:NAME#SUBSET@REVISION", which that library loads, from the hub or a local folder.

    split: for "datasets:" only; max_record_bytes: of a line of JSON. A source states what of a row it reads and makes
    a document of one.
    """

    kind: ClassVar[str]
    columns: ClassVar[tuple[str, ...] | None] = None
    required: ClassVar[tuple[str, ...]] = ()
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    path: str
    split: str = "train"
    max_record_bytes: int = 50_000_000

    def documents(self, record: Record) -> Iterator[Document | Skipped]:
        """Yield the document of a record, and what of it is lost; what is none as a Skipped."""
        raise NotImplementedError

    def work_items(self) -> list[WorkItem]:
        """List the files or shards, sorted by name; raises ConfigError where there is none."""
        return row_items(self.path, self.split, self.kind, self.suffixes)

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document per row; raises SourceError where the file is no such table or lacks what makes it one."""
        for record in read_rows(item, self._format()):
            if isinstance(record, Skipped):
                yield record
            else:
                yield from self.documents(record)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield nothing: the set holds URLs."""
        return iter(())

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell the columns, and what a sample holds: by the row counts of Parquet files, else by stored bytes."""
        return preview_rows(self, items, self._format())

    def _format(self) -> RowFormat:
        return RowFormat(
            columns=self.columns, required=self.required, max_bytes=self.max_record_bytes, split=self.split
        )


def row_items(path: str, split: str, kind: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[WorkItem]:
    """Return the files of a set as work items, or its shards where the path begins with "datasets:".

    split: for "datasets:" only. What `datasets` writes beside the data of a saved folder is left out. Raises
    ConfigError where there is nothing.
    """
    if path.startswith(PREFIX):
        return hub_items(path, split)
    found = [item for item in list_items(path, suffixes, kind) if _is_data(item.name.rpartition("/")[2])]
    return [dataclasses.replace(item, index=index) for index, item in enumerate(found)]


def _is_data(name: str) -> bool:
    return name not in _FOLDER_FILES and not name.startswith(_CACHE_PREFIX)


def preview_rows(source: Source, items: Sequence[WorkItem], expected: RowFormat) -> Preview:
    """Tell what `items` hold: columns, and a sample of the first scaled by rows where they say how many, else by bytes.

    Rows: of parts of Parquet files those of their spans, of whole ones those of the first footers, scaled by size.
    """
    if not items:
        return sampled(source, items)
    try:
        columns = columns_of(items[0], expected)
    except SourceError as error:
        return Preview(how=f"the sample cannot be read: {error}")
    found = sampled(source, items, num_rows=_num_rows(items))
    return dataclasses.replace(found, columns=columns)


def _num_rows(items: Sequence[WorkItem]) -> int | None:
    """Return about how many rows Parquet files hold, None where the first is none."""
    if not items[0].path.lower().endswith(".parquet"):
        return None
    if all(item.span for item in items):
        return sum(item.span[1] - item.span[0] for item in items if item.span)
    rows, size = 0, 0
    for item in items[:_ASKED_FILES]:
        try:
            with open_file(item.path) as file:
                rows, size = rows + (Table(file, item.name).num_rows or 0), size + item.size_bytes
        except SourceError:
            continue
    return round(rows * sum(item.size_bytes for item in items) / size) if size else None
