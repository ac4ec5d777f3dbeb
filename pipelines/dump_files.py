"""The files of a dump: which there are below a path, on any file system, in an order that no run changes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from pipelines.archives.remote import HTTP, READ_ERRORS, archive_file_system

_MAGIC_CHARACTERS = "*?["


def list_dump_files(path: str, suffixes: tuple[str, ...], *, kind: str) -> list[tuple[str, str, int]]:
    """Return (name, path, size in bytes) of every file of a dump at `path`, sorted by name.

    path: a file (any suffix), a folder (searched with its subfolders for `suffixes`, in any case), or a glob;
    local, an fsspec URL, or "package:" as `infimm_data.files.resolve` takes it. Names are relative to the folder
    or to the fixed part of the glob. kind: of the source, for messages. Raises ConfigError where there is none.
    """
    try:
        filesystem, root = archive_file_system(resolve(path))
        found, base = _matches(filesystem, root, suffixes)
    except READ_ERRORS as error:
        problem = error.__cause__ or error  # fsspec wraps what HTTP answered
        raise ConfigError(f"{kind} path {path!r} cannot be listed: {problem}. Check the path.") from None
    if not found:
        raise ConfigError(
            f"{kind} path {path!r} holds no such file; expected files that end in {', '.join(suffixes)}, "
            "or a glob that matches some. Check the path."
        )
    files = []
    for full, size in found.items():
        name = posixpath.relpath(full, base) if base else posixpath.basename(full)
        files.append((name, filesystem.unstrip_protocol(full) if "://" in path else full, size))
    return sorted(files)


def _matches(filesystem: Any, root: str, suffixes: tuple[str, ...]) -> tuple[dict[str, int], str]:
    if any(character in root for character in _MAGIC_CHARACTERS) and not filesystem.exists(root):
        fixed = root[: min(root.find(character) for character in _MAGIC_CHARACTERS if character in root)]
        found = filesystem.glob(root, detail=True)
        return _sizes(found, lambda name: True), fixed.rpartition("/")[0]
    is_file_by_name = root.startswith(HTTP) and root.lower().endswith(suffixes)  # there, asking reads the whole file
    if not is_file_by_name and filesystem.isdir(root):
        found = filesystem.find(root, detail=True)
        return _sizes(found, lambda name: name.lower().endswith(suffixes)), root.rstrip("/")
    if is_file_by_name or filesystem.isfile(root):
        return {root: int(filesystem.info(root)["size"] or 0)}, ""
    return {}, ""


def _sizes(found: dict[str, Any], wanted: Callable[[str], bool]) -> dict[str, int]:
    return {name: int(info.get("size") or 0) for name, info in found.items() if info["type"] == "file" and wanted(name)}
