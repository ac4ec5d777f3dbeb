"""The samples of a WebDataset tar, one after the other, up to where the tar is damaged."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import IO

from infimm_data.errors import SourceError
from infimm_data.files import file_system
from pipelines.sources.contract import Skipped

MAX_MEMBER_BYTES = 1 << 26  # of one file in a tar; what is larger is passed over, like a link


@dataclass(frozen=True, slots=True)
class TarSample:
    """The members of one key that stand together: `fields` by their ending. offset: of the first header, in bytes."""

    key: str
    offset: int
    fields: dict[str, bytes] = field(default_factory=dict)


def read_samples(path: str, name: str, wanted: Collection[str]) -> Iterator[TarSample | Skipped]:
    """Yield the samples of a tar in its order, each with its `wanted` fields; one sample is held at a time.

    A key is a member's path up to the first dot of its last part, as webdataset cuts it. Links, folders and
    devices are passed over; nothing is written to disk. Where the tar breaks off, a Skipped says so last; the sample
    before it is yielded only when it has all fields of the one before. Raises SourceError where the file is not
    there or no tar.
    """
    fs, inside = file_system(path)
    try:
        with fs.open(inside, "rb") as file:
            yield from _samples(file, name, frozenset(wanted))
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error}); expected a tar. Check path and access.") from None


def _samples(file: IO[bytes], name: str, wanted: frozenset[str]) -> Iterator[TarSample | Skipped]:
    try:
        tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  # closed with its file; it holds nothing else
    except tarfile.TarError as error:
        raise SourceError(f"{name}: no tar ({error}); remove it or fetch it again.") from None
    sample: TarSample | None = None
    whole: set[str] = set()  # endings of the sample before
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile remembers every member it has seen
            key, ending = _cut(member.name)
            if not member.isreg() or member.issparse() or not ending:
                continue
            if sample is not None and (sample.key != key or ending in sample.fields):
                whole = set(sample.fields)
                yield sample
                sample = None
            if sample is None:
                sample = TarSample(key, member.offset)
            if ending in wanted and member.size <= MAX_MEMBER_BYTES:
                held = tar.extractfile(member)
                sample.fields[ending] = held.read() if held else b""
        problem = "" if _ends_there(file, tar.offset) else "no header where one is expected"  # tarfile: the end
    except tarfile.TarError as error:
        problem = str(error)
    if sample is not None and (not problem or (whole and whole <= set(sample.fields))):
        yield sample
        sample = None
    if problem:
        at = tar.offset if sample is None else sample.offset
        yield Skipped(reason="damaged_tar", offset=at, detail=f"{sample.key}: {problem}" if sample else problem)


def _ends_there(file: IO[bytes], offset: int) -> bool:
    """Return whether the tar ends at `offset` as it should: with a block of zeros."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    return len(block) == tarfile.BLOCKSIZE and not any(block)


def _cut(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}{slash}{key}", ending.lower()
