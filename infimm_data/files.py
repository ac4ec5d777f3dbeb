"""Files on any file system (local or an fsspec URL), each written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import filecmp
import hashlib
import importlib.util
import os
import uuid
from collections.abc import Iterator
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from infimm_data.errors import ConfigError, NoSpaceError

LOCAL_DIR_PREFIX = "local-dir:"
_FULL = (errno.ENOSPC, errno.EDQUOT)
PACKAGE_PREFIX = "package:"
"""`package:pipelines.demo/data/clip` in a recipe is the folder `data/clip` inside that installed package."""


def file_system(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of `path` and the path inside it.

    Raises ConfigError when the protocol is unknown or its package is missing.
    """
    try:
        fs, inside = fsspec.core.url_to_fs(str(path))
    except (ImportError, ValueError) as error:  # fsspec names the protocol, and the package to install
        raise ConfigError(f"{path}: {error}; expected a local path or a URL that fsspec knows") from None
    return fs, inside


def absolute(path: str) -> str:
    """Return a path that means the same in every process, whatever its working folder; URLs are unchanged."""
    fs, inside = file_system(path)
    return str(inside) if isinstance(fs, LocalFileSystem) else path


def identity(path: str) -> str:
    """Return what tells this file from another under the same name, without reading it; "" when it is not there.

    Local: size and time of last change, as rsync asks; elsewhere what the store says (an ETag, a checksum).
    """
    fs, inside = file_system(path)
    try:
        if not isinstance(fs, LocalFileSystem):
            return str(fs.ukey(inside))
        found = os.stat(inside)
    except FileNotFoundError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def resolve(path: str) -> str:
    """Return `path` with `package:NAME/INSIDE` replaced by where that package is installed; others unchanged.

    open_clip's `local-dir:` may stand before it, and stays. Raises ConfigError when there is no such package.
    """
    if path.startswith(LOCAL_DIR_PREFIX):
        return LOCAL_DIR_PREFIX + resolve(path.removeprefix(LOCAL_DIR_PREFIX))
    if not path.startswith(PACKAGE_PREFIX):
        return path
    package, _, inside = path.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):
        spec = None
    # Not importlib.resources: it refuses a namespace package (configs/) that is installed as editable.
    folders = [place for place in (spec and spec.submodule_search_locations) or () if os.path.isdir(place)]
    if not folders:
        expected = "expected package:NAME/INSIDE like package:pipelines.demo/data/clip"
        raise ConfigError(f"{path}: no package '{package}' is installed; {expected}") from None
    return os.path.join(folders[0], inside)


def join(folder: str, *names: str) -> str:
    """Join names to a folder that may be a URL."""
    return "/".join([str(folder).rstrip("/"), *names])


def exists(path: str) -> bool:
    """Return whether a file or folder is there."""
    fs, inside = file_system(path)
    return bool(fs.exists(inside))


def file_names(folder: str) -> list[str]:
    """Return the names of what lies in a folder, sorted; none where there is no such folder."""
    fs, inside = file_system(folder)
    fs.invalidate_cache()
    return sorted(found.rpartition("/")[2] for found in fs.ls(inside, detail=False)) if fs.isdir(inside) else []


def read_bytes(path: str) -> bytes:
    """Return the whole file; raises FileNotFoundError when it is not there."""
    fs, inside = file_system(path)
    return bytes(fs.cat_file(inside))


def remove(path: str) -> None:
    """Remove the file if it is there."""
    fs, inside = file_system(path)
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(inside)


@contextlib.contextmanager
def open_whole(path: str, *, is_durable: bool = True, keeps_equal: bool = False) -> Iterator[IO[bytes]]:
    """Open `path` for writing; it appears under its name only when the block ends without an exception.

    The bytes go to a temporary name beside the place (a name of its own, so that two writers never share one),
    are synced to disk where the disk is local, and renamed. After a crash only a `.part-*` file may be left,
    which no reader looks at and `remove_leftovers` deletes. Raises NoSpaceError when the storage is full. is_durable:
    False for what is read in this run alone, and need not outlive the machine: it is not synced. keeps_equal: a local
    file that already holds these bytes is left alone.
    """
    fs, inside = file_system(path)
    parent, _, name = inside.rpartition("/")
    if parent:
        fs.makedirs(parent, exist_ok=True)
    part = f"{parent}/.part-{uuid.uuid4().hex}-{name}" if parent else f".part-{uuid.uuid4().hex}-{name}"
    try:
        with fs.open(part, "wb") as file:
            yield file
            if is_durable and isinstance(fs, LocalFileSystem):
                file.flush()
                os.fsync(file.fileno())
        is_local = isinstance(fs, LocalFileSystem)
        if is_local and keeps_equal and os.path.exists(inside) and filecmp.cmp(part, inside, shallow=False):
            os.remove(part)
        elif is_local:
            os.replace(part, inside)
        else:
            fs.mv(part, inside)
    except BaseException as error:
        with contextlib.suppress(OSError):
            fs.rm_file(part)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise NoSpaceError(
                f"{path}: {error.strerror}; free some space and run the same command again, it goes on from here"
            ) from None
        raise


def write_bytes(path: str, data: bytes) -> None:
    """Write a small file whole or not at all; a file that already holds these bytes is left alone."""
    with contextlib.suppress(FileNotFoundError):
        if read_bytes(path) == data:
            return
    with open_whole(path) as file:
        file.write(data)


@contextlib.contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Keep other runs on this machine out of a local folder while the block lasts; elsewhere nothing is kept out.

    The lock goes with the process, however it ends. Raises ConfigError when another run holds it.
    """
    fs, inside = file_system(folder)
    if not isinstance(fs, LocalFileSystem):
        yield
        return
    os.makedirs(inside, exist_ok=True)
    with open(os.path.join(inside, ".lock"), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{folder}: another run is writing there; wait for it, or choose another folder"
            ) from None
        yield


def remove_leftovers(folder: str) -> int:
    """Delete the `.part-*` files that a killed run left anywhere below `folder`; return how many.

    Its workers may outlive their driver for a moment: what they finish meanwhile is no leftover any more.
    """
    fs, inside = file_system(folder)
    removed = 0
    for path in _files_below(fs, inside):
        if path.rpartition("/")[2].startswith(".part-"):
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(path)
                removed += 1
    fs.invalidate_cache()  # object stores remember listings, which this run is about to make untrue
    return removed


def _files_below(fs: fsspec.AbstractFileSystem, folder: str) -> list[str]:
    """Return all files below a folder; on disk without fsspec, which leaves out a folder where a file vanishes."""
    if isinstance(fs, LocalFileSystem):
        return [f"{at}/{name}" for at, _, names in os.walk(folder) for name in names]
    return list(fs.find(folder)) if fs.exists(folder) else []


def sha256_of(path: str, chunk_bytes: int = 1 << 20) -> str:
    """Return the hex SHA-256 of a file, read in chunks."""
    fs, inside = file_system(path)
    digest = hashlib.sha256()
    with fs.open(inside, "rb") as file:
        while chunk := file.read(chunk_bytes):
            digest.update(chunk)
    return digest.hexdigest()
