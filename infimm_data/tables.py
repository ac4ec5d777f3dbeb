"""Parquet tables: documents as they were extracted, and measures beside them, each file with its fingerprint.

| file of a work item | one row per | columns |
|---|---|---|
| documents/KEY.parquet | document | id, dump, offset, url, date, licence, nodes (list of struct), measures, record |
| scores/documents/KEY.parquet | document | id, one column per measure |
| scores/images/KEY.parquet | image node | id, node (position in `nodes`), url*, one column per measure |
| images/KEY.parquet | fetched URL | url*, status, where its bytes lie in images/KEY.tar, size, sha256, phash |

* `short_url`: a `data:` URI, which is a whole image, is named by a digest.

A fingerprint says what shaped a file (settings, inputs, version). A pass whose output has the right one is
finished; counts travel in the same file, so they can never disagree with it.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.document import (
    SCHEMA_VERSION,
    Document,
    ImageNode,
    Measure,
    Node,
    Origin,
    TextNode,
    node_from_dict,
    node_to_dict,
    origin_to_dict,
)
from infimm_data.files import file_system, open_whole, write_bytes

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
        ("scores", pa.string()),  # JSON of what the dump itself measured, null where that is nothing
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
        ("measures", pa.string()),  # as `scores` of an image node
        ("record", pa.string()),
    ]
)
KEY_TYPES = {"id": pa.string(), "node": pa.int64(), "url": pa.string()}
"""Columns that name a row of measures; typed, so that tables of an empty work item still join."""
ROWS_PER_GROUP = 1_000  # documents of about 10 KB: row groups of 10 MB, what one task holds while it writes
BYTES_PER_GROUP = 64 << 20  # and no more than this, however long the pages are (one may hold megabytes of data: URIs)
DAMAGED = (pa.ArrowInvalid, pa.ArrowSerializationError, OSError)  # what pyarrow raises on a Parquet file cut or altered


def fingerprint(*parts: Any) -> str:
    """Return 32 hex digits of everything that shapes an output; parts must be plain JSON data."""
    text = json.dumps([SCHEMA_VERSION, *parts], sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def fingerprint_of_many(*parts: Any, texts: Iterable[str]) -> str:
    """Return the fingerprint of parts and of a list of texts, of which one is held at a time."""
    head = json.dumps([SCHEMA_VERSION, *parts], sort_keys=True, default=str)
    state = hashlib.blake2b(head.removesuffix("]").encode(), digest_size=16)
    separator = ", ["
    for text in texts:
        state.update(f"{separator}{json.dumps(text)}".encode())
        separator = ", "
    state.update(b"]]" if separator == ", " else b", []]")
    return state.hexdigest()


def document_row(document: Document) -> dict[str, Any]:
    """Return the row of a document in DOCUMENTS; what the passes measure has tables of its own."""
    nodes = [node_to_dict(node) for node in document.nodes]
    for node in nodes:
        node["scores"] = _json_or_none(node.get("scores"))
    origin = origin_to_dict(document.origin)
    stored = {"measures": _json_or_none(document.measures), "record": document.record or None}
    return {"id": document.id, **origin, "nodes": nodes, **stored}


def _json_or_none(measures: Mapping[str, Measure] | None) -> str | None:
    return json.dumps(dict(measures), allow_nan=False) if measures else None


def _row_node(row: Mapping[str, Any]) -> Node:
    scores = row.get("scores")
    return node_from_dict({**row, "scores": json.loads(scores)} if scores else row)


def document_chars(document: Document) -> int:
    """Return about how many characters a document holds, for `TableWriter.add`."""
    texts = len(document.record) + sum(len(node.text) for node in document.nodes if isinstance(node, TextNode))
    return texts + sum(len(node.url) + len(node.alt) for node in document.nodes if isinstance(node, ImageNode))


def row_document(row: Mapping[str, Any]) -> Document:
    """Return the document of a row of DOCUMENTS."""
    origin = Origin(**{key: row[key] for key in ("dump", "offset", "url", "date", "licence")})
    measures = json.loads(row.get("measures") or "{}")
    nodes, record = tuple(map(_row_node, row["nodes"])), row.get("record") or ""
    return Document(id=row["id"], nodes=nodes, origin=origin, measures=measures, record=record)


class TableWriter:
    """Collects rows into row groups; made by `open_table`. `counts` may be filled until its block ends."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        """writer: an open Parquet file."""
        self.counts: dict[str, Any] = {}
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._held = 0

    def add(self, row: dict[str, Any], size: int = 0) -> None:
        """Add one row of about `size` bytes; ROWS_PER_GROUP rows or BYTES_PER_GROUP bytes become a row group."""
        self._rows.append(row)
        self._held += size
        if len(self._rows) >= ROWS_PER_GROUP or self._held >= BYTES_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows so far as a row group."""
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._writer.schema))
        self._rows, self._held = [], 0


@contextmanager
def open_table(path: str, schema: pa.Schema, *, fingerprint: str) -> Iterator[TableWriter]:
    """Open a Parquet file that is written row by row; it appears whole, with fingerprint and counts, or not at all."""
    with open_whole(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        table = TableWriter(writer)
        yield table
        table.flush()
        writer.add_key_value_metadata(_metadata(fingerprint, table.counts))


def _metadata(print_of_inputs: str, counts: Mapping[str, Any]) -> dict[str, str]:
    return {"infimm.fingerprint": print_of_inputs, "infimm.counts": json.dumps(counts, sort_keys=True)}


def write_table(path: str, table: pa.Table, *, fingerprint: str, counts: Mapping[str, Any] | None = None) -> None:
    """Write a whole table at once, with its fingerprint and counts; a file that already holds it is left alone."""
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(_metadata(fingerprint, counts or {})), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def write_tables(
    path: str, tables: Iterator[pa.Table], *, fingerprint: str, counts: Mapping[str, Any] | None = None
) -> None:
    """Write tables of one schema, at least one, as the row groups of one file, holding one of them at a time.

    A local file that already holds them is left alone.
    """
    with open_whole(path, keeps_equal=True) as file:
        first = next(tables)
        with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)
            writer.add_key_value_metadata(_metadata(fingerprint, counts or {}))


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """Return a table (or some of its columns); raises FileNotFoundError when it is not there."""
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        return pq.read_table(file, columns=columns)


def read_tables(path: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a table (or some columns) without the metadata of the file; the first has no rows."""
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        parquet = pq.ParquetFile(file)
        empty = parquet.schema_arrow.remove_metadata().empty_table()
        yield empty if columns is None else empty.select(list(columns))
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns).replace_schema_metadata(None)


def footer(path: str) -> dict[str, str]:
    """Return the key-value metadata of a Parquet file; {} when it is damaged; raises FileNotFoundError."""
    fs, inside = file_system(path)
    try:
        with fs.open(inside, "rb") as file:
            found = pq.read_metadata(file).metadata or {}
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        if getattr(error, "errno", None) is not None:  # the file system's own trouble says nothing about the file
            raise
        return {}
    return {key.decode(): value.decode() for key, value in found.items() if key.startswith(b"infimm.")}


def read_metadata(path: str) -> tuple[str | None, dict[str, Any]]:
    """Return (fingerprint, counts) of a file from its footer; (None, {}) when it is absent, damaged or not ours."""
    try:
        found = footer(path)
    except FileNotFoundError:
        return None, {}
    return found.get("infimm.fingerprint"), json.loads(found.get("infimm.counts", "{}"))


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


def measures_table(
    keys: Mapping[str, Sequence[Any]],
    measures: Iterable[Mapping[str, Measure | bytes | npt.NDArray[np.float16]]],
    names: Iterable[str] = (),
) -> pa.Table:
    """Return a table of key columns and one column per measure: numbers as float64, slugs as strings.

    Vectors [D] become fixed-size lists of float16. names: measures that are columns even when there is no row. A
    measure that is None everywhere becomes a null column, which joins with any type.
    """
    rows = list(measures)
    columns: dict[str, Any] = {name: pa.array(values, type=KEY_TYPES[name]) for name, values in keys.items()}
    for name in dict.fromkeys([*names, *(name for row in rows for name in row)]):
        columns[name] = _measure_column([row.get(name) for row in rows])
    return pa.table(columns)


def _measure_column(values: list[Any]) -> pa.Array:
    size = next((len(value) for value in values if isinstance(value, np.ndarray)), None)
    if size is not None:
        missing = np.array([value is None for value in values])
        zero = np.zeros(size, dtype=np.float16)
        flat = np.concatenate([zero if value is None else value for value in values])
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), size, mask=pa.array(missing))
    numeric = any(isinstance(value, int | float) for value in values)
    return pa.array(values, type=pa.float64()) if numeric else pa.array(values)
