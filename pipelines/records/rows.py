"""Rows of a set, however it is stored: Parquet, Arrow, lines of JSON, or through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.preview import sampled
from pipelines.records import json_lines, table_rows
from pipelines.records.files import Record, list_items
from pipelines.records.hub import PREFIX, hub_items, hub_rows
from pipelines.sources.contract import Preview, Skipped, Source, WorkItem

SUFFIXES = (*table_rows.SUFFIXES, *json_lines.SUFFIXES)
_CACHE_PREFIX = "cache-"  # what `datasets` leaves in a saved folder beside the data
_FOLDER_FILES = ("state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json")  # and describes it with


def row_items(path: str, split: str, kind: str) -> list[WorkItem]:
    """Return the files of a set as work items, or its shards where the path begins with "datasets:".

    split: for "datasets:" only. What `datasets` writes beside the data of a saved folder is left out. Raises
    ConfigError where there is nothing.
    """
    if path.startswith(PREFIX):
        return hub_items(path, split)
    found = [item for item in list_items(path, SUFFIXES, kind) if _is_data(item.name.rpartition("/")[2])]
    return [
        WorkItem(index=index, name=item.name, path=item.path, size_bytes=item.size_bytes)
        for index, item in enumerate(found)
    ]


def _is_data(name: str) -> bool:
    return name not in _FOLDER_FILES and not name.startswith(_CACHE_PREFIX)


def read_rows(
    item: WorkItem, split: str, columns: Sequence[str], required: Sequence[str], max_bytes: int
) -> Iterator[Record | Skipped]:
    """Yield the records of a work item in order, and a Skipped for each that cannot be read.

    columns: what is read of a table; required: those without which it is another kind of file; max_bytes: of one
    line of JSON. Raises SourceError where the file cannot be read as what it is.
    """
    if item.path.startswith(PREFIX):
        return hub_rows(item, split, columns, required)
    if table_rows.is_table(item):
        return table_rows.read_table_rows(item, columns, required)
    return json_lines.read_json_lines(item, max_bytes)


def preview_rows(source: Source, items: Sequence[WorkItem]) -> Preview:
    """Tell what `items` hold: of Parquet files columns and rows by their footers, of lines of JSON by a sample."""
    name = items[0].name.lower() if items else ""
    if name.endswith(".parquet"):
        return table_rows.preview_tables(items)
    if name.endswith(json_lines.SUFFIXES):
        return sampled(source, json_lines.inflated(items))
    return Preview(how="neither Arrow streams nor the datasets library tell how many rows there are")
