"""Parquet tables: documents as they were extracted, and measures beside them, each file with its fingerprint.

| file of a work item | one row per | columns |
|---|---|---|
| documents/00000.parquet | document | id, dump, offset, url, date, licence, nodes (list of struct) |
| scores/documents/00000.parquet | document | id, one column per measure |
| scores/images/00000.parquet | image node | id, node (position in `nodes`), url, one column per measure |
| images/00000.parquet | fetched URL | url, status, where its bytes lie in images/00000.tar, size, sha256, phash |

A fingerprint says what shaped a file (settings, inputs, version). A pass whose output has the right one is
finished; counts travel in the same file, so they can never disagree with it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.document import SCHEMA_VERSION, Document, Measure, Origin, node_from_dict, node_to_dict
from infimm_data.files import file_system, open_whole, read_bytes

_NODE = pa.struct(
    [
        ("type", pa.string()),
        ("text", pa.string()),
        ("role", pa.string()),
        ("loss", pa.bool_()),
        ("url", pa.string()),
        ("alt", pa.string()),
        ("caption", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
DOCUMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("dump", pa.string()),
        ("offset", pa.int64()),
        ("url", pa.string()),
        ("date", pa.string()),
        ("licence", pa.string()),
        ("nodes", pa.list_(_NODE)),
    ]
)
KEY_TYPES = {"id": pa.string(), "node": pa.int32(), "url": pa.string()}
"""Columns that name a row of measures; typed, so that tables of an empty work item still join."""
ROWS_PER_GROUP = 1_000  # documents of about 10 KB: row groups of 10 MB, what one task holds while it writes


def fingerprint(*parts: Any) -> str:
    """Return 32 hex digits of everything that shapes an output; parts must be plain JSON data."""
    text = json.dumps([SCHEMA_VERSION, *parts], sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def document_row(document: Document) -> dict[str, Any]:
    """Return the row of a document in DOCUMENTS; measures are tables of their own."""
    origin = asdict(document.origin)
    return {"id": document.id, **origin, "nodes": [node_to_dict(node) for node in document.nodes]}


def row_document(row: Mapping[str, Any]) -> Document:
    """Return the document of a row of DOCUMENTS."""
    origin = Origin(**{key: row[key] for key in ("dump", "offset", "url", "date", "licence")})
    return Document(id=row["id"], nodes=tuple(node_from_dict(node) for node in row["nodes"]), origin=origin)


class TableWriter:
    """Writes rows to one Parquet file in groups; the file appears whole, with fingerprint and counts.

    Use as a context manager. `counts` may be filled until the block ends.
    """

    def __init__(self, path: str, schema: pa.Schema, *, fingerprint: str) -> None:
        """Prepare; nothing is written before the block is entered."""
        self.counts: dict[str, Any] = {}
        self._schema = schema
        self._fingerprint = fingerprint
        self._rows: list[dict[str, Any]] = []
        self._whole = open_whole(path)

    def __enter__(self) -> TableWriter:
        self._writer = pq.ParquetWriter(self._whole.__enter__(), self._schema, compression="zstd")
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Add one row; every ROWS_PER_GROUP rows become a row group."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self._flush()
            self._writer.add_key_value_metadata(_metadata(self._fingerprint, self.counts))
        self._writer.close()
        self._whole.__exit__(kind, error, trace)


def _metadata(print_of_inputs: str, counts: Mapping[str, Any]) -> dict[str, str]:
    return {"infimm.fingerprint": print_of_inputs, "infimm.counts": json.dumps(counts, sort_keys=True)}


def write_table(path: str, table: pa.Table, *, fingerprint: str, counts: Mapping[str, Any] | None = None) -> None:
    """Write a whole table at once, with its fingerprint and counts."""
    with open_whole(path) as file:
        pq.write_table(table.replace_schema_metadata(_metadata(fingerprint, counts or {})), file, compression="zstd")


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """Return a table (or some of its columns); raises FileNotFoundError when it is not there."""
    return pq.read_table(io.BytesIO(read_bytes(path)), columns=columns)


def read_metadata(path: str) -> tuple[str | None, dict[str, Any]]:
    """Return (fingerprint, counts) of a file from its footer; (None, {}) when it is absent or not ours."""
    fs, inside = file_system(path)
    try:
        with fs.open(inside, "rb") as file:
            metadata = pq.read_metadata(file).metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid):
        return None, {}
    found = metadata.get(b"infimm.fingerprint")
    return (found.decode() if found else None), json.loads(metadata.get(b"infimm.counts", b"{}"))


def read_documents(path: str, rows: Sequence[int] | None = None) -> Iterator[Document]:
    """Yield the documents of a file in order, or those at the given rows (ascending); one row group in memory."""
    fs, inside = file_system(path)
    wanted = None if rows is None else set(rows)
    with fs.open(inside, "rb") as file:
        parquet = pq.ParquetFile(file)
        start = 0
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            here = range(size) if wanted is None else [i for i in range(size) if start + i in wanted]
            if here:
                table = parquet.read_row_group(group)
                yield from (row_document(row) for row in table.take(pa.array(here)).to_pylist())
            start += size


def measures_table(keys: Mapping[str, Sequence[Any]], measures: Iterable[Mapping[str, Measure | bytes]]) -> pa.Table:
    """Return a table of key columns and one column per measure: numbers as float64, slugs as strings.

    A measure that is None everywhere becomes a null column, which joins with any type.
    """
    rows = list(measures)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, Any] = {name: pa.array(values, type=KEY_TYPES[name]) for name, values in keys.items()}
    for name in names:
        values = [row.get(name) for row in rows]
        numeric = any(isinstance(value, int | float) for value in values)
        columns[name] = pa.array(values, type=pa.float64()) if numeric else pa.array(values)
    return pa.table(columns)
