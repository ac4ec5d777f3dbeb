"""The kept documents of a build as LLaVA JSON: a row that was read from one comes out equal to what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from infimm_data.document import Document
from infimm_data.files import open_whole
from infimm_data.tables import read_documents, read_table
from pipelines.annotations.conversations import NodesChanged, new_row, written_row
from pipelines.layout import Layout
from pipelines.stored import stored_items


class Exported(NamedTuple):
    """rows: all that were written; as_read: those of them that are the rows that the dump holds."""

    rows: int
    as_read: int


def export_rows(layout: Layout, path: str) -> Exported:
    """Write the kept documents in dump order as one JSON list.

    A document that was read from a row is that row again; one that was not, or of which an edit step took or split
    texts, is a new row. Raises ConfigError when the build has not come as far as its decisions.
    """
    number = as_read = 0
    documents = kept_documents(layout)
    with open_whole(path) as file:
        for document in documents:
            try:
                row = written_row(document)
                as_read += bool(document.record)
            except NodesChanged:
                row = new_row(document)
            file.write((",\n" if number else "[\n").encode() + json.dumps(row, ensure_ascii=False).encode())
            number += 1
        file.write(b"\n]\n" if number else b"[]\n")
    return Exported(number, as_read)


def kept_documents(layout: Layout) -> Iterator[Document]:
    """Yield the documents that the steps keep, with all their nodes; raises ConfigError as `export_rows`."""
    for item in (one.key for one in stored_items(layout)):
        kept = read_table(layout.decisions("documents", item), columns=["kept"]).column("kept").to_pylist()
        yield from read_documents(layout.documents(item), [row for row, is_kept in enumerate(kept) if is_kept])
