"""Members of a tar in order (plain or .gz, as WebDataset shards are), none of them written to disk, each bounded."""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from infimm_data.errors import SourceError
from pipelines.records.files import Record, open_file
from pipelines.records.json_lines import checked
from pipelines.records.streams import stepped
from pipelines.sources.contract import Skipped, WorkItem

SUFFIXES = (".tar", ".tar.gz", ".tgz")
_BLOCK = 1 << 18  # bytes that are read at a time: with tarfile's own 10 KiB a walk past photographs takes twice as long
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar. key, suffix: its name cut at the first dot behind its folder, as WebDataset cuts it."""

    key: str
    suffix: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TarSample:
    """The members of one key that stand together: `fields` by their suffix. offset: of the first header, in bytes."""

    key: str
    offset: int
    fields: dict[str, bytes] = field(default_factory=dict)


class _Tar(tarfile.TarFile):
    """A tar read over end marks, as `cat a.tar b.tar` leaves one in the middle. end_mark: where the latest stands."""

    end_mark = -1


class _Header(tarfile.TarInfo):
    """A header that says when it is broken: tarfile takes one behind the first member for the end of the tar."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        assert isinstance(tarfile_, _Tar)
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the stubs
            tarfile_.end_mark = tarfile_.offset
            raise
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]  # not in the stubs
            if tarfile_.offset in (0, tarfile_.end_mark + tarfile.BLOCKSIZE):
                raise
            raise tarfile.ReadError(f"no end mark at byte {tarfile_.offset}") from error
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"broken header at byte {tarfile_.offset} ({error})") from None


def read_members(item: WorkItem, wanted: Callable[[str, str], bool], max_bytes: int) -> Iterator[Member | Skipped]:
    """Yield the regular members that `wanted(key, suffix)` asks for; too large ones and damage as Skipped.

    max_bytes: of one member. What is behind the damage cannot be read: one Skipped says so. Raises SourceError
    where the file is no tar at all.
    """
    for member, size in _walk(item, wanted, max_bytes):
        if isinstance(member, Skipped) or size is None:
            yield member
        elif size > max_bytes and wanted(member.key, member.suffix):
            detail = f"{member.key}.{member.suffix}: {size} bytes, at most {max_bytes} are read"
            yield Skipped(reason="record_too_large", offset=member.offset, detail=detail)


def read_json_members(item: WorkItem, max_bytes: int) -> Iterator[Record | Skipped]:
    """Yield the object of each KEY.json under its key; what is none as Skipped `not_json`. Raises as `read_members`."""
    for member in read_members(item, lambda key, suffix: suffix == "json", max_bytes):
        if isinstance(member, Skipped):
            yield member
            continue
        try:
            record = Record(item.name, member.offset, json.loads(member.data), member.key)
        except (ValueError, RecursionError) as error:
            yield Skipped(reason="not_json", offset=member.offset, detail=f"{member.key}.json: {error}")
            continue
        yield checked(record)


def read_samples(item: WorkItem, wanted: Collection[str], max_bytes: int) -> Iterator[TarSample | Skipped]:
    """Yield the samples of a tar in its order, each with its `wanted` fields of at most `max_bytes`; one is held.

    Where the tar breaks off, a Skipped says so last; the sample before it is yielded only when it has all fields of
    the one before. Raises SourceError where the file is no tar.
    """
    sample: TarSample | None = None
    whole: set[str] = set()  # suffixes of the sample before
    for member, size in _walk(item, lambda key, suffix: suffix in wanted, max_bytes):
        if isinstance(member, Skipped):
            if sample is not None and whole and whole <= set(sample.fields):
                yield sample
            elif sample is not None:
                member = Skipped(reason=member.reason, offset=sample.offset, detail=f"{sample.key}: {member.detail}")
            yield member
            return
        if not member.suffix:
            continue
        if sample is not None and (sample.key != member.key or member.suffix in sample.fields):
            whole = set(sample.fields)
            yield sample
            sample = None
        sample = sample or TarSample(member.key, member.offset)
        if size is None:
            sample.fields[member.suffix] = member.data
    if sample is not None:
        yield sample


def split_name(name: str) -> tuple[str, str]:
    """Return (key, suffix): "a/b.0.JPG" is ("a/b", "0.jpg")."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


Walked = Iterator[tuple[Member | Skipped, int | None]]
"""A member and None where it was read; without its bytes and with its size where it was not, or not as far as it goes.
Damage ends the walk.
"""


def _walk(item: WorkItem, wanted: Callable[[str, str], bool], max_bytes: int) -> Walked:
    with open_file(item.path) as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # tarfile's own inflating would end after the first of several gzip members
        stream = stepped(gzip.GzipFile(fileobj=file)) if is_gzip else file
        try:
            archive = _Tar.open(fileobj=stream, mode="r|*", bufsize=_BLOCK, tarinfo=_Header, ignore_zeros=True)
        except _DAMAGED as error:
            raise SourceError(f"{item.name}: cannot be read as a tar ({error}). Remove or replace it.") from None
        with archive:
            yield from _members(archive, item.name, wanted, max_bytes)


def _members(archive: tarfile.TarFile, dump: str, wanted: Callable[[str, str], bool], max_bytes: int) -> Walked:
    end, problem = 0, ""
    while not problem:
        try:
            info = archive.next()
            archive.members = []  # type: ignore[attr-defined]  # not in the stubs; else the headers of all members stay
        except _DAMAGED as error:
            problem = str(error)
            break
        if info is None:
            return
        end = info.offset
        if not info.isreg() or info.issparse():
            continue
        key, suffix = split_name(info.name)
        data: bytes | None = None
        if info.size <= max_bytes and wanted(key, suffix):
            data, problem = _data(archive, info)
        yield Member(key, suffix, info.offset, data or b""), info.size if data is None else None
    yield Skipped(reason="damaged_record", offset=end, detail=f"{dump}: {problem}; the rest is lost"), None


def _data(archive: tarfile.TarFile, info: tarfile.TarInfo) -> tuple[bytes | None, str]:
    """Return the bytes of a member, or None and why they cannot be had."""
    try:
        file = archive.extractfile(info)
        data = file.read() if file else b""
    except _DAMAGED as error:
        return None, str(error)
    return (data, "") if len(data) == info.size else (None, f"{info.name}: {info.size - len(data)} bytes are missing")
