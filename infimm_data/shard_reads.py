"""Samples of a folder of shards in any order: local tars mapped into memory, others by ranges, many at a time.

Cost: a local sample costs the parsing of its JSON and its headers; an image is copied when it is asked for. Elsewhere
a sample is one range request, and those of one call go out together where the file system can (S3, GCS, HTTP).
Limit: a local shard that is cut off while it is mapped ends the process (SIGBUS); one that is cut off before is named.
"""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from fsspec.implementations.local import LocalFileSystem

from infimm_data.errors import ShardError
from infimm_data.files import file_system, join
from infimm_data.shards import Bytes, Sample, SampleLocation, ShardInfo, parse_sample

MAX_MAPPED = 256
"""Shards mapped at a time, each with one open file; the soft limit on open files is often 1,024."""

MAX_TOGETHER = 64
"""Range requests that go out together. fsspec runs up to 128 at a time of its own; 64 bounds what waits in memory."""


class ShardReads:
    """Reads samples of one folder; keeps its files open. For one thread; samples may be used in any."""

    def __init__(self, folder: str, shards: Sequence[ShardInfo]) -> None:
        """shards: the manifest. Raises ShardError when a local shard is not there, or not as long as it says."""
        self._folder, self._sizes = folder, {shard.name: shard.size_bytes for shard in shards}
        self._fs, self._inside = file_system(folder)
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self._mapped: OrderedDict[str, Bytes] = OrderedDict()
        for shard in self._sizes if self._is_local else ():
            os.close(self._open(shard))

    def read(self, places: Sequence[SampleLocation]) -> Iterator[Sample | ShardError]:
        """Yield the sample at each place, in order; for one that cannot be read, the error that names it.

        Raises ShardError for a whole shard that is not there: to go on would lose its documents one by one.
        """
        for start in range(0, len(places), MAX_TOGETHER):
            some = places[start : start + MAX_TOGETHER]
            yield from self._local(some) if self._is_local else self._remote(some)

    def _local(self, places: Sequence[SampleLocation]) -> Iterator[Sample | ShardError]:
        for place in places:
            mapped = self._map(place.shard)
            try:
                yield parse_sample(mapped, place, start=place.offset)
            except ShardError as error:
                yield error

    def _map(self, shard: str) -> Bytes:
        if shard in self._mapped:
            self._mapped.move_to_end(shard)
            return self._mapped[shard]
        file = self._open(shard)
        try:
            self._mapped[shard] = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        finally:
            os.close(file)
        if len(self._mapped) > MAX_MAPPED:
            self._mapped.popitem(last=False)  # samples that still use it keep it mapped
        return self._mapped[shard]

    def _open(self, shard: str) -> int:
        """Return a file descriptor of a local shard; raises ShardError when it is not what the manifest says."""
        where, expected = join(self._folder, shard), self._sizes[shard]
        try:
            file = os.open(join(self._inside, shard), os.O_RDONLY)
        except FileNotFoundError:
            raise ShardError(f"{where}: not found; copy it, or pack the shards again") from None
        if (found := os.fstat(file).st_size) != expected:
            os.close(file)
            raise ShardError(f"{where}: {found} bytes, the manifest says {expected}; copy or pack it again")
        return file

    def _remote(self, places: Sequence[SampleLocation]) -> Iterator[Sample | ShardError]:
        paths = [join(self._inside, place.shard) for place in places]
        starts = [place.offset for place in places]
        ends = [place.offset + place.size for place in places]
        for place, data in zip(places, self._fs.cat_ranges(paths, starts, ends, on_error="return"), strict=True):
            where = f"{join(self._folder, place.shard)} at byte {place.offset}"
            if isinstance(data, FileNotFoundError):
                raise ShardError(f"{where}: not found; copy it, or pack the shards again")
            elif isinstance(data, Exception):
                yield ShardError(f"{where}: cannot be read ({data!r}); is the store reachable?")
            else:
                try:
                    yield parse_sample(bytes(data), place)
                except ShardError as error:
                    yield error
