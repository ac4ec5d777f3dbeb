"""The files of a dump: which there are below a path, and how one is opened."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec

from infimm_data.errors import ConfigError, SourceError
from infimm_data.files import file_system, resolve
from pipelines.sources.contract import WorkItem

_MAGIC_CHARACTERS = "*?["


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file: a line's object, or a row.

    dump: name of the file, "FILE/MEMBER" inside a zip; offset: the row of a table, the byte where a line or a
    member starts (of what a .gz or zip member inflates to).
    """

    dump: str
    offset: int
    data: dict[str, Any]


def list_items(path: str, suffixes: Sequence[str], kind: str) -> list[WorkItem]:
    """Return every file at `path` as a work item, sorted by name.

    path: a file (any suffix), a folder (searched with its subfolders for the suffixes), or a glob; local, an
    fsspec URL, or "package:" as `infimm_data.files.resolve` takes it. Names are relative to the folder or to the
    fixed part of the glob. kind: of the source, for messages. Raises ConfigError where there is none.
    """
    try:
        filesystem, root = file_system(resolve(path))
        found, base = _matches(filesystem, root, tuple(suffixes))
    except OSError as error:
        raise ConfigError(f"{kind} path {path!r} cannot be listed: {error}. Check the path.") from None
    if not found:
        raise ConfigError(
            f"{kind} path {path!r} holds no such file; expected names that end in {', '.join(suffixes)}, "
            "or a glob that matches some. Check the path."
        )
    files = []
    for full, size in found.items():
        name = posixpath.relpath(full, base) if base else posixpath.basename(full)
        files.append((name, filesystem.unstrip_protocol(full) if "://" in path else full, size))
    return [
        WorkItem(index=index, name=name, path=full, size_bytes=size)
        for index, (name, full, size) in enumerate(sorted(files))
    ]


def _matches(filesystem: Any, root: str, suffixes: tuple[str, ...]) -> tuple[dict[str, int], str]:
    if any(character in root for character in _MAGIC_CHARACTERS) and not filesystem.exists(root):
        fixed = root[: min(root.find(character) for character in _MAGIC_CHARACTERS if character in root)]
        found = filesystem.glob(root, detail=True)
        return _sizes(found, lambda name: True), fixed.rpartition("/")[0]
    if filesystem.isdir(root):
        found = filesystem.find(root, detail=True)
        return _sizes(found, lambda name: name.lower().endswith(suffixes)), root.rstrip("/")
    if filesystem.isfile(root):
        return {root: int(filesystem.info(root)["size"] or 0)}, ""
    return {}, ""


def _sizes(found: dict[str, Any], wanted: Callable[[str], bool]) -> dict[str, int]:
    return {name: int(info.get("size") or 0) for name, info in found.items() if info["type"] == "file" and wanted(name)}


@contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a file of a dump; raises SourceError where it is not there, may not be read, or breaks while it is."""
    try:
        with fsspec.open(path, "rb") as file:
            yield file
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error}). Check path and access.") from None
