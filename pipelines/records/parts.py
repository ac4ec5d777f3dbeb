"""The parts of a table file that different tasks read: equal spans of rows or bytes, the same on every run."""

from __future__ import annotations

import itertools

import pyarrow.parquet as pq

from pipelines.archives.remote import READ_ERRORS, archive_file_system
from pipelines.dump_files import list_dump_files
from pipelines.records.tables import DAMAGED
from pipelines.sources.contract import WorkItem

_CUT_BETWEEN_LINES = (".tsv", ".jsonl", ".ndjson")


def table_parts(path: str, bytes_per_item: int, suffixes: tuple[str, ...], *, kind: str) -> list[WorkItem]:
    """Return the work items of every table file at `path`: of about `bytes_per_item` stored bytes each.

    suffixes: of the files that a folder is searched for. Parquet is cut between rows (one footer is read per file),
    TSV and JSON lines between lines; gzip, which gives no way into its middle, and CSV, whose quoted line breaks look
    like row ends, are one item per file. Raises ConfigError where there is no file.
    """
    items: list[WorkItem] = []
    for name, full, size in list_dump_files(path, suffixes, kind=kind):
        total = _divisible_units(full, size)
        if total is None:
            items.append(WorkItem(index=len(items), name=name, path=full, size_bytes=size))
            continue
        count = max(1, min(total, -(-size // bytes_per_item)))
        bounds = [total * number // count for number in range(count + 1)]
        for first, end in itertools.pairwise(bounds):
            stored = size * end // total - size * first // total if total else size
            part = name if count == 1 else f"{name}[{first}:{end}]"
            items.append(WorkItem(index=len(items), name=part, path=full, size_bytes=stored, span=(first, end)))
    return items


def file_name(item: WorkItem) -> str:
    """Return the name of the file of which `item` is a part: the `dump` of its documents, however it is cut."""
    if item.span is None:
        return item.name
    return item.name.removesuffix(f"[{item.span[0]}:{item.span[1]}]")


def _divisible_units(path: str, size: int) -> int | None:
    """Return the rows of a Parquet file or the bytes of a text file that can be cut; None where it cannot be."""
    if path.lower().endswith(_CUT_BETWEEN_LINES):
        return size
    if not path.lower().endswith(".parquet"):
        return None
    fs, inside = archive_file_system(path)
    try:
        with fs.open(inside, "rb") as file:
            return int(pq.read_metadata(file).num_rows)
    except (*DAMAGED, *READ_ERRORS):
        return None  # its one work item fails when it is read, and is named then
