"""Members of a tar in order (plain or .gz, as WebDataset shards are), none of them written to disk, each bounded."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infimm_data.errors import SourceError
from pipelines.records.files import open_file
from pipelines.sources.contract import Skipped, WorkItem

SUFFIXES = (".tar", ".tar.gz", ".tgz")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar. key, suffix: its name cut at the first dot behind its folder, as WebDataset cuts it."""

    key: str
    suffix: str
    offset: int
    data: bytes


class _Header(tarfile.TarInfo):
    """A header that says when it is broken: tarfile takes one behind the first member for the end of the tar."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]  # not in the stubs
            raise tarfile.ReadError(f"broken header at byte {tarfile_.offset} ({error})") from None


def read_members(item: WorkItem, wanted: Callable[[str, str], bool], max_bytes: int) -> Iterator[Member | Skipped]:
    """Yield the regular members that `wanted(key, suffix)` asks for; too large ones and damage as Skipped.

    max_bytes: of one member. What is behind the damage cannot be read: one Skipped says so. Raises SourceError
    where the file is no tar at all.
    """
    with open_file(item.path) as file:
        try:
            archive = tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header)  # noqa: SIM115  # closed below
        except _DAMAGED as error:
            raise SourceError(f"{item.name}: cannot be read as a tar ({error}). Remove or replace it.") from None
        with archive:
            yield from _members(archive, item.name, wanted, max_bytes)


def split_name(name: str) -> tuple[str, str]:
    """Return (key, suffix): "a/b.0.jpg" is ("a/b", "0.jpg")."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", suffix


def _members(
    archive: tarfile.TarFile, dump: str, wanted: Callable[[str, str], bool], max_bytes: int
) -> Iterator[Member | Skipped]:
    end = 0
    while True:
        try:
            info = archive.next()
            archive.members = []  # type: ignore[attr-defined]  # not in the stubs; else the headers of all members stay
            if info is None:
                return
            end = info.offset
            key, suffix = split_name(info.name)
            if not info.isreg() or not wanted(key, suffix):
                continue
            if info.size > max_bytes:
                detail = f"{info.name}: {info.size} bytes, at most {max_bytes} are read"
                yield Skipped(reason="record_too_large", offset=info.offset, detail=detail)
                continue
            member = archive.extractfile(info)
            data = member.read() if member else b""
            if len(data) < info.size:
                raise tarfile.ReadError(f"{info.name}: {info.size - len(data)} bytes are missing")
        except _DAMAGED as error:
            yield Skipped(reason="damaged_record", offset=end, detail=f"{dump}: {error}; the rest is lost")
            return
        yield Member(key, suffix, info.offset, data)
