"""Reads the files of evaluation sets as they are published: questions from tables and JSON, images from anywhere.

| file | questions | images |
|---|---|---|
| .json, .jsonl, .ndjson (also .gz) | texts under the wanted keys, at any depth | - |
| .tsv, .csv | the wanted columns | column `image` in base64 (MMBench) |
| .parquet | the wanted columns | columns of {bytes, path} (the hub's) or of bytes |
| .txt | every field between tabs (MME) | - |
| .jpg, .jpeg, .png, .webp, .gif | - | the file |
"""

from __future__ import annotations

import base64
import binascii
import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from infimm_data.benchmarks import key_bytes, text_keys
from infimm_data.errors import ConfigError
from infimm_data.files import file_system, join, read_bytes
from infimm_data.image_headers import BadImage
from infimm_data.images import inspect_image
from infimm_data.tables import DAMAGED

FIELDS = ("question", "text", "prompt", "query", "caption", "hint")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
MAX_BYTES = 2_000_000_000  # of one file, and of what a .gz of it inflates to
MAX_PIXELS = 300_000_000  # of an image; documents of DocVQA have 100 million


@dataclass
class Counts:
    """What was read of a benchmark: questions, those that give an n-gram, images, images that cannot be read."""

    questions: int = 0
    indexed: int = 0
    images: int = 0
    bad_images: int = 0


def index_rows(
    name: str, paths: Sequence[str], fields: Sequence[str], settings: dict[str, int], counts: Counts
) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield the rows of an index for a benchmark (`infimm_data.benchmarks.write_index`), and count what was read.

    settings: ngram and shortest, in words. Raises ConfigError where a file cannot be read as what its name says.
    """
    for path in paths:
        for found in read_file(path, fields):
            if isinstance(found, str):
                counts.questions += 1
                keys = text_keys([found], **settings)
                counts.indexed += bool(keys)
                yield from ((name, "ngram", length, key_bytes(key)) for length, key in keys)
                continue
            counts.images += 1
            yield name, "sha256", 0, hashlib.sha256(found).digest()
            try:
                phash = inspect_image(found, max_pixels=MAX_PIXELS).phash
                assert phash is not None, "the whole picture was asked for"
                yield name, "phash", 0, key_bytes(phash)
            except BadImage:
                counts.bad_images += 1


def files_below(path: str) -> list[str]:
    """Return the file at `path`, or all files below the folder that can be read; raises ConfigError where none is."""
    fs, inside = file_system(path)
    if fs.isfile(inside):
        return [path]
    names = sorted(fs.find(inside)) if fs.exists(inside) else []
    found = [join(path, name.removeprefix(inside).lstrip("/")) for name in names if _reader(name)]
    if not found:
        raise ConfigError(f"{path}: no such file, or a folder without any of {', '.join(_READERS)} or images")
    return found


def read_file(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    """Yield the questions (str) and the images (bytes) of one file."""
    reader = _reader(path)
    if reader is None:
        raise ConfigError(f"{path}: expected one of {', '.join(_READERS)} or an image")
    try:
        fs, inside = file_system(path)
        if fs.size(inside) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; split it")
        yield from reader(path, fields)
    except (*DAMAGED, ValueError, EOFError, csv.Error, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as what its name says ({error}); remove it or name others") from None


def _text(path: str) -> str:
    data = read_bytes(path)
    if path.endswith(".gz"):
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path}: inflates to more than {MAX_BYTES} bytes; split it")
    return data.decode("utf-8-sig")


def _json(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    yield from _texts_in(json.loads(_text(path)), frozenset(fields))


def _json_lines(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    for line in _text(path).splitlines():
        if line.strip():
            yield from _texts_in(json.loads(line), frozenset(fields))


def _texts_in(value: Any, fields: frozenset[str]) -> Iterator[str]:
    """Yield the texts under the wanted keys at any depth, in order."""
    if isinstance(value, list):
        for one in value:
            yield from _texts_in(one, fields)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key in fields:
                yield from (text for text in (one if isinstance(one, list) else [one]) if isinstance(text, str))
            if isinstance(one, dict | list):
                yield from _texts_in(one, fields)


def _table(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    csv.field_size_limit(1 << 27)  # an image in base64
    delimiter = "\t" if ".tsv" in path else ","
    for row in csv.DictReader(io.StringIO(_text(path)), delimiter=delimiter):
        yield from (text for name in fields if (text := row.get(name)))
        if image := row.get("image"):
            yield from _from_base64(image)


def _from_base64(text: str) -> Iterator[bytes]:
    """Yield the image in a cell; MMBench writes the number of another row where the picture is the same."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return
    if len(data) > 100:
        yield data


def _parquet(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=64):
            for row in batch.to_pylist():
                yield from _texts_in(row, frozenset(fields))
                yield from _images_in(row.values())


def _images_in(values: Iterable[Any]) -> Iterator[bytes]:
    for value in values:
        if isinstance(value, bytes) and value:
            yield value
        elif isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            yield value["bytes"]
        elif isinstance(value, list):
            yield from _images_in(value)


def _lines(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    for line in _text(path).splitlines():
        yield from (field for field in line.split("\t") if field.strip())


def _image(path: str, fields: Sequence[str]) -> Iterator[str | bytes]:
    yield read_bytes(path)


_READERS = {
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json, ".tsv": _table, ".csv": _table,
    ".parquet": _parquet, ".txt": _lines,
}  # fmt: skip


def _reader(path: str) -> Any:
    name = path.lower().removesuffix(".gz")
    if name.endswith(IMAGE_SUFFIXES):
        return _image
    return next((reader for suffix, reader in _READERS.items() if name.endswith(suffix)), None)
