"""Archive files: which there are below a path, and the WARC files inside a WACZ."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from infimm_data.errors import SourceError
from pipelines.archives.records import Damage, Record, read_records
from pipelines.archives.remote import READ_ERRORS, archive_file_system, check_seekable
from pipelines.dump_files import list_dump_files

SUFFIXES = (".warc", ".warc.gz", ".arc", ".arc.gz", ".wacz")
MAX_ZIP_ENTRIES = 10_000


def list_files(
    path: str, *, kind: str = "web_archive", suffixes: tuple[str, ...] = SUFFIXES
) -> list[tuple[str, str, int]]:
    """Return (name, path, size in bytes) of every archive at `path`, sorted by name.

    kind: of the source, for messages; suffixes: of the files that a folder is searched for.

    path: a file (any suffix), a folder (searched with its subfolders for the usual suffixes), or a glob; local,
    an fsspec URL, or "package:" as `infimm_data.files.resolve` takes it. Names are relative to the folder or to
    the fixed part of the glob. Raises ConfigError where there is none.
    """
    return list_dump_files(path, suffixes, kind=kind)


def is_safe_name(name: str) -> bool:
    """Say whether a file name that a listing gives leads below its base: relative, no "..", no protocol."""
    return bool(name) and not name.startswith("/") and not {":", "\\"} & set(name) and ".." not in name.split("/")


@contextmanager
def open_archive(path: str) -> Iterator[BinaryIO]:
    """Open an archive file; raises SourceError where it is not there or may not be read."""
    try:
        filesystem, inside = archive_file_system(path)
        with filesystem.open(inside, "rb") as file:
            check_seekable(file)
            yield file
    except READ_ERRORS as error:
        problem = error.__cause__ or error  # fsspec wraps what HTTP answered
        raise SourceError(
            f"{path}: cannot be read ({problem}); expected an archive file. Check path and access."
        ) from None


def read_archive(file: BinaryIO, name: str, keep: Callable[[str, str], int]) -> Iterator[tuple[str, Record | Damage]]:
    """Yield (dump name, record or damage) of an archive file, of each WARC in it where it is a WACZ.

    name: of the file; keep: as `read_records` takes it. Raises SourceError where the file holds no record at all.
    """
    early: list[tuple[str, Damage]] = []  # damage before the first record: none follows where this is no archive
    is_any = False
    for dump, stream in _streams(file, name):
        for record in _read_stream(stream, keep):
            is_any = is_any or isinstance(record, Record) or record.is_record
            if is_any:
                yield from early
                early.clear()
                yield dump, record
            elif isinstance(record, Damage):
                early.append((dump, record))
    if not is_any:
        found = f" ({early[0][1].detail})" if early else " (it is empty)"
        raise SourceError(
            f"{name}: no WARC or ARC record{found}; expected {', '.join(SUFFIXES)}. Remove or replace the file."
        )


def _read_stream(stream: BinaryIO, keep: Callable[[str, str], int]) -> Iterator[Record | Damage]:
    try:
        yield from read_records(stream, keep)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        yield Damage(offset=-1, detail=f"the archive is broken inside its WACZ ({error})", is_record=False)


def _streams(file: BinaryIO, name: str) -> Iterator[tuple[str, BinaryIO]]:
    if file.read(4) != b"PK\x03\x04":
        file.seek(0)
        yield name, file
        return
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if _is_warc(entry)]
            if len(entries) > MAX_ZIP_ENTRIES:
                raise SourceError(f"{name}: {len(entries)} archives in one WACZ; at most {MAX_ZIP_ENTRIES} are read.")
            for entry in entries:
                with archive.open(entry) as member:
                    yield f"{name}/{entry.filename}", member  # type: ignore[misc]  # ZipExtFile is no BinaryIO by type only
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise SourceError(f"{name}: cannot be read as a WACZ ({error}). Remove or replace it.") from None


def _is_warc(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.startswith("archive/") and entry.filename.lower().endswith(SUFFIXES)
