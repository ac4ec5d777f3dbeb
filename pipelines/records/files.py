"""A file of a dump as a work item, how it is opened, and what a record of it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, BinaryIO

from infimm_data.errors import SourceError
from pipelines.archives.remote import READ_ERRORS, archive_file_system, check_seekable
from pipelines.dump_files import list_dump_files
from pipelines.sources.contract import WorkItem


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file: a row, or what a line or an entry of a JSON list holds.

    dump: name of the file, "FILE/MEMBER" inside a zip; offset: the row of a table, the byte where a line or a
    member starts (of what a .gz or zip member inflates to), the number of an entry of a JSON list; data: values by
    column, for entries of a list whatever stands there; key: its name where the records are an object, else "".
    """

    dump: str
    offset: int
    data: Any
    key: str = ""


def list_items(path: str, suffixes: tuple[str, ...], kind: str) -> list[WorkItem]:
    """Return every file of a dump as a work item, as `list_dump_files` lists them."""
    return [
        WorkItem(index=index, name=name, path=full, size_bytes=size)
        for index, (name, full, size) in enumerate(list_dump_files(path, suffixes, kind=kind))
    ]


_OPENED: ContextVar[dict[str, BinaryIO] | None] = ContextVar("opened", default=None)


@contextmanager
def positions() -> Iterator[Callable[[str], int | None]]:
    """Give a function that tells how far the file at a path is read, in bytes as stored; None where it is not open."""
    opened: dict[str, BinaryIO] = {}
    token = _OPENED.set(opened)
    try:
        yield lambda path: opened[path].tell() if path in opened else None
    finally:
        _OPENED.reset(token)


@contextmanager
def _noted(path: str, file: BinaryIO) -> Iterator[None]:
    opened = _OPENED.get()
    if opened is not None:
        opened[path] = file
    try:
        yield
    finally:
        if opened is not None and opened.get(path) is file:
            del opened[path]


@contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a file of a dump; raises SourceError where it is not there, may not be read, or breaks while it is."""
    try:
        filesystem, inside = archive_file_system(path)
        with filesystem.open(inside, "rb") as file, _noted(path, file):
            check_seekable(file)
            yield file
    except READ_ERRORS as error:
        problem = error.__cause__ or error  # fsspec wraps what HTTP answered
        raise SourceError(f"{path}: cannot be read ({problem}). Check path and access.") from None
