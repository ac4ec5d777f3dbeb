"""A file of a dump as a work item, how it is opened, and what a record of it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec

from infimm_data.errors import SourceError
from pipelines.dump_files import list_dump_files
from pipelines.sources.contract import WorkItem


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file: a line's object, or a row.

    dump: name of the file, "FILE/MEMBER" inside a zip; offset: the row of a table, the byte where a line or a
    member starts (of what a .gz or zip member inflates to).
    """

    dump: str
    offset: int
    data: dict[str, Any]


def list_items(path: str, suffixes: tuple[str, ...], kind: str) -> list[WorkItem]:
    """Return every file of a dump as a work item, as `list_dump_files` lists them."""
    return [
        WorkItem(index=index, name=name, path=full, size_bytes=size)
        for index, (name, full, size) in enumerate(list_dump_files(path, suffixes, kind=kind))
    ]


@contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a file of a dump; raises SourceError where it is not there, may not be read, or breaks while it is."""
    try:
        with fsspec.open(path, "rb") as file:
            yield file
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error}). Check path and access.") from None
