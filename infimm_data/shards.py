"""Shards: WebDataset tars of documents, with an index beside each and one manifest for all.

    shards/00000.tar             KEY.json, KEY.0.jpg, ...  (files sorted, mtime 0; plain webdataset reads it)
    shards/00000.index.parquet   key, offset, size, num_images, num_words   (one row per sample, in order)
    shards/manifest.json         for each shard: name, sha256, size_bytes, num_documents, num_images

`offset` is where the sample's first tar header starts, `size` reaches to the next sample (bytes), so one range
read gives one sample without the tar being scanned. Cost of the index: under 1 % of the data.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.document import SCHEMA_VERSION, Document, from_json, to_json
from infimm_data.errors import ConfigError, ShardError
from infimm_data.files import file_system, join, open_whole, read_bytes, remove, write_bytes
from infimm_data.tables import DAMAGED, footer
from infimm_data.text import words

Bytes = bytes | mmap.mmap

_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_MAX_SIZE = 0o77777777777  # of a member, in bytes: 11 octal digits

INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("num_images", pa.int32()),
        ("num_words", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A document with the bytes of its images; `files` maps the `file` of an image node to its bytes.

    place: where it was read, None for one that was made.
    """

    document: Document
    files: Mapping[str, bytes]
    place: SampleLocation | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """One line of the manifest; sizes in bytes."""

    name: str
    sha256: str
    size_bytes: int
    num_documents: int
    num_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLocation:
    """Where a sample lies: one row of a shard's index."""

    shard: str
    key: str
    offset: int
    size: int
    num_images: int
    num_words: int


def shard_name(number: int) -> str:
    """Return the file name of a shard: five digits at least, so that names sort and brace patterns work."""
    return f"{number:05d}.tar"


def index_name(shard: str) -> str:
    """Return the name of the index beside a shard."""
    return shard.removesuffix(".tar") + ".index.parquet"


def write_shard(folder: str, number: int, samples: Iterable[Sample], *, fingerprint: str = "") -> ShardInfo:
    """Write one shard and then its index, each whole or not at all; return its manifest line.

    The index comes last and holds the fingerprint of what was packed: `finished_shard` asks it after a crash. So
    the index of an earlier result goes before its tar does: it must never vouch for another one.
    """
    name = shard_name(number)
    remove(join(folder, index_name(name)))
    rows: list[dict[str, object]] = []
    digest = hashlib.sha256()
    with open_whole(join(folder, name)) as file:
        position = 0
        for sample in samples:
            data = _sample_bytes(sample)
            file.write(data)
            digest.update(data)
            rows.append(_index_row(sample.document, offset=position, size=len(data)))
            position += len(data)
        end = b"\0" * (2 * tarfile.BLOCKSIZE)
        file.write(end)
        digest.update(end)
    info = ShardInfo(
        name=name,
        sha256=digest.hexdigest(),
        size_bytes=position + len(end),
        num_documents=len(rows),
        num_images=sum(int(str(row["num_images"])) for row in rows),
    )
    _write_index(join(folder, index_name(name)), rows, info, fingerprint)
    return info


def finished_shard(folder: str, number: int, *, fingerprint: str) -> ShardInfo | None:
    """Return the manifest line of a shard that was packed from exactly this, or None when it is to be written."""
    path = join(folder, index_name(shard_name(number)))
    fs, inside = file_system(join(folder, shard_name(number)))
    try:
        metadata = footer(path)
        size = int(fs.size(inside))
    except FileNotFoundError:
        return None
    info = json.loads(metadata.get("infimm.shard", "null"))
    if metadata.get("infimm.fingerprint") != fingerprint or info is None or info["size_bytes"] != size:
        return None
    return ShardInfo(**info)


def _sample_bytes(sample: Sample) -> bytes:
    """Return the tar members of one sample: KEY.json first, then the images by field name."""
    key = sample.document.id
    if "." in key or "/" in key:
        raise ValueError(f"document id {key!r}: WebDataset keys hold no dot and no slash")
    missing = {node.file for node in sample.document.images} ^ set(sample.files)
    if missing:
        raise ValueError(f"document {key}: image nodes and files differ in {sorted(map(str, missing))}")
    members = [("json", to_json(sample.document))]
    members += sorted(sample.files.items(), key=lambda item: (int(item[0].partition(".")[0]), item[0]))
    buffer = io.BytesIO()
    for name, data in members:
        buffer.write(tar_member(f"{key}.{name}", data))
    return buffer.getvalue()


def tar_member(name: str, data: bytes) -> bytes:
    """Return one tar member, header and padding included; mtime, uid and gid are 0: same content, same bytes."""
    return _tar_header(name, len(data)) + data + b"\0" * (-len(data) % tarfile.BLOCKSIZE)


def _tar_header(name: str, size_bytes: int) -> bytes:
    """Return what tarfile makes of a name and a size, in a fifth of its time: one is made for every image."""
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) > tarfile.LENGTH_NAME or size_bytes > _MAX_SIZE:
        info = tarfile.TarInfo(name)
        info.size = size_bytes
        return info.tobuf(tarfile.USTAR_FORMAT)
    header = bytearray(_HEADER)  # fields at their places in POSIX.1-1988's ustar
    header[: len(encoded)] = encoded
    header[124:135] = b"%011o" % size_bytes
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 0x20)  # the sum counts itself as blanks
    return bytes(header)


def _index_row(document: Document, *, offset: int, size: int) -> dict[str, object]:
    return {
        "key": document.id,
        "offset": offset,
        "size": size,
        "num_images": len(document.images),
        "num_words": sum(len(words(node.text)) for node in document.texts),
    }


def _write_index(path: str, rows: list[dict[str, object]], info: ShardInfo, fingerprint: str) -> None:
    metadata = {"infimm.fingerprint": fingerprint, "infimm.shard": json.dumps(asdict(info))}
    with open_whole(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA.with_metadata(metadata)), file)


def write_manifest(folder: str, shards: Iterable[ShardInfo]) -> None:
    """Write manifest.json; it is written last, so a folder with a manifest is a finished set of shards."""
    data = {"schema": SCHEMA_VERSION, "shards": [asdict(shard) for shard in shards]}
    write_bytes(join(folder, "manifest.json"), (json.dumps(data, indent=1) + "\n").encode())


def read_manifest(folder: str) -> list[ShardInfo]:
    """Return the shards of a finished set; raises ConfigError when there is none, ShardError when it is unreadable."""
    path = join(folder, "manifest.json")
    try:
        data = json.loads(read_bytes(path))
        if data["schema"] > SCHEMA_VERSION:
            raise ShardError(f"{path}: schema {data['schema']}, expected up to {SCHEMA_VERSION}; update infimm")
        return [ShardInfo(**shard) for shard in data["shards"]]
    except FileNotFoundError:
        raise ConfigError(f"{path}: not found; expected a folder of shards that 'infimm build' finished") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{path}: not a manifest ({error}); pack the shards again") from None


def read_index(folder: str, shard: ShardInfo) -> list[SampleLocation]:
    """Return where the samples of a shard lie; raises ShardError when the index does not match the manifest."""
    return [SampleLocation(shard=shard.name, **row) for row in read_index_table(folder, shard).to_pylist()]


def read_index_table(folder: str, shard: ShardInfo) -> pa.Table:
    """Return the index of a shard as columns (INDEX_SCHEMA); raises ShardError as `read_index` does."""
    path = join(folder, index_name(shard.name))
    try:
        table = pq.ParquetFile(io.BytesIO(read_bytes(path))).read()  # read_table imports pyarrow.dataset for nothing
    except FileNotFoundError:
        raise ShardError(f"{path}: not found; pack the shards again") from None
    except DAMAGED as error:
        raise ShardError(f"{path}: not an index ({error}); pack the shards again") from None
    if not table.schema.equals(INDEX_SCHEMA):
        raise ShardError(f"{path}: columns {table.column_names}, expected {INDEX_SCHEMA.names}; pack the shards again")
    if len(table) != shard.num_documents:
        raise ShardError(f"{path}: {len(table)} samples, expected {shard.num_documents}; pack the shards again")
    return table


def read_sample(folder: str, location: SampleLocation) -> Sample:
    """Return one sample by a range read; raises ShardError when what lies there is not that sample."""
    fs, inside = file_system(join(folder, location.shard))
    try:
        data = fs.cat_file(inside, start=location.offset, end=location.offset + location.size)
    except FileNotFoundError:
        raise ShardError(f"{join(folder, location.shard)}: not found; pack the shards again") from None
    return parse_sample(data, location)


def parse_sample(data: Bytes, location: SampleLocation, *, start: int = 0) -> Sample:
    """Return the sample at `start` of `data`; raises ShardError naming shard, offset and key.

    data: the bytes of its range (start 0), or a whole shard (start: its offset). Its files are read when they are
    asked for, so `data` stays in memory (or mapped) as long as the sample does.
    """
    where = f"{location.shard} at byte {location.offset}, sample {location.key}"
    try:
        prefix, end = f"{location.key}.".encode(), min(start + location.size, len(data))
        spans = dict(_members(data, start, end, prefix=prefix))
        first, last = spans.pop("json")
        document = from_json(data[first:last])
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{where}: not a sample ({error!r}); verify the shard's sha256 or pack it again") from None
    differ = {str(node.file) for node in document.images} ^ spans.keys()
    if differ:
        lost = ", ".join(sorted(differ))
        raise ShardError(f"{where}: images and files differ in {lost}; verify the shard's sha256 or pack it again")
    return Sample(document, MemberFiles(data, spans), location)


class MemberFiles(Mapping[str, bytes]):
    """The files of a sample: name -> bytes, copied out of its tar members when they are asked for."""

    __slots__ = ("_data", "_spans")

    def __init__(self, data: Bytes, spans: Mapping[str, tuple[int, int]]) -> None:
        """data: the bytes of the sample; spans: name -> (start, stop) in them."""
        self._data, self._spans = data, spans

    def __getitem__(self, name: str) -> bytes:
        start, stop = self._spans[name]
        return bytes(self._data[start:stop])

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


def _members(data: Bytes, position: int, end: int, *, prefix: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Walk the tar headers from `position` to `end`: name after the `prefix` that all have, and where its bytes are.

    Reads only what `tar_member` writes: tarfile took half of the time of reading a sample, for fields that we do not
    use. A damaged header shows in its magic, its name, or its size (the next header is then not where it should be).
    """
    while position < end:
        header = data[position : position + tarfile.BLOCKSIZE]
        if header[257:262] != b"ustar" or not header.startswith(prefix):
            raise ValueError(f"no header of its files at byte {position}")
        start, size = position + tarfile.BLOCKSIZE, int(header[124:135], 8)
        if size < 0 or start + size > end:
            raise ValueError(f"the member at byte {position} is cut off")
        yield header[len(prefix) : 100].rstrip(b"\0").decode("ascii"), (start, start + size)
        position = start + size + (-size % tarfile.BLOCKSIZE)
