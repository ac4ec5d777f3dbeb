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
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.document import SCHEMA_VERSION, Document, from_json, to_json
from infimm_data.errors import ShardError
from infimm_data.files import file_system, join, open_whole, read_bytes, remove, write_bytes
from infimm_data.tables import DAMAGED, footer
from infimm_data.text import words

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
    """A document with the bytes of its images; `files` maps the `file` of an image node to its bytes."""

    document: Document
    files: dict[str, bytes]


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
    for field, data in members:
        buffer.write(tar_member(f"{key}.{field}", data))
    return buffer.getvalue()


def tar_member(name: str, data: bytes) -> bytes:
    """Return one tar member, header and padding included; mtime, uid and gid are 0: same content, same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + b"\0" * (-len(data) % tarfile.BLOCKSIZE)


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
    """Return the shards of a finished set; raises ShardError when there is none or it is unreadable."""
    path = join(folder, "manifest.json")
    try:
        data = json.loads(read_bytes(path))
        if data["schema"] > SCHEMA_VERSION:
            raise ShardError(f"{path}: schema {data['schema']}, expected up to {SCHEMA_VERSION}; update infimm")
        return [ShardInfo(**shard) for shard in data["shards"]]
    except FileNotFoundError:
        raise ShardError(f"{path}: not found; expected a folder of shards that 'infimm build' finished") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{path}: not a manifest ({error}); pack the shards again") from None


def read_index(folder: str, shard: ShardInfo) -> list[SampleLocation]:
    """Return where the samples of a shard lie; raises ShardError when the index does not match the manifest."""
    path = join(folder, index_name(shard.name))
    try:
        table = pq.read_table(io.BytesIO(read_bytes(path)))
    except FileNotFoundError:
        raise ShardError(f"{path}: not found; pack the shards again") from None
    except DAMAGED as error:
        raise ShardError(f"{path}: not an index ({error}); pack the shards again") from None
    if not table.schema.equals(INDEX_SCHEMA):
        raise ShardError(f"{path}: columns {table.column_names}, expected {INDEX_SCHEMA.names}; pack the shards again")
    rows = table.to_pylist()
    if len(rows) != shard.num_documents:
        raise ShardError(f"{path}: {len(rows)} samples, expected {shard.num_documents}; pack the shards again")
    return [SampleLocation(shard=shard.name, **row) for row in rows]


def read_sample(folder: str, location: SampleLocation) -> Sample:
    """Return one sample by a range read; raises ShardError when what lies there is not that sample."""
    fs, inside = file_system(join(folder, location.shard))
    try:
        data = fs.cat_file(inside, start=location.offset, end=location.offset + location.size)
    except FileNotFoundError:
        raise ShardError(f"{join(folder, location.shard)}: not found; pack the shards again") from None
    return parse_sample(data, location)


def parse_sample(data: bytes, location: SampleLocation) -> Sample:
    """Return the sample in the bytes of its range; raises ShardError naming shard, offset and key."""
    where = f"{location.shard} at byte {location.offset}, sample {location.key}"
    try:
        members = dict(_members(data))
        document = from_json(members.pop(f"{location.key}.json"))
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{where}: not a sample ({error!r}); verify the shard's sha256 or pack it again") from None
    files = {name.removeprefix(f"{location.key}."): content for name, content in members.items()}
    differ = {str(node.file) for node in document.images} ^ set(files)
    if differ:
        lost = ", ".join(sorted(differ))
        raise ShardError(f"{where}: images and files differ in {lost}; verify the shard's sha256 or pack it again")
    return Sample(document, files)


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Walk tar headers in memory; tarfile would build an object per member and seek twice."""
    position = 0
    while position < len(data):
        info = tarfile.TarInfo.frombuf(data[position : position + tarfile.BLOCKSIZE], "utf-8", "strict")
        start = position + tarfile.BLOCKSIZE
        if info.size < 0 or start + info.size > len(data):
            raise ValueError(f"{info.name} is cut off")
        yield info.name, data[start : start + info.size]
        position = start + info.size + (-info.size % tarfile.BLOCKSIZE)
