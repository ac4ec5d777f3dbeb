"""The kept documents of a build as LLaVA JSON: a row that was read from one comes out equal to what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from infimm_data.document import Document
from infimm_data.errors import ConfigError
from infimm_data.files import file_system, open_whole
from infimm_data.tables import read_documents, read_table
from pipelines.annotations.conversations import written_row
from pipelines.layout import Layout


def export_rows(layout: Layout, path: str) -> int:
    """Write the kept documents in dump order as one JSON list; return how many.

    Raises ConfigError when the build has not come as far as its decisions.
    """
    number = 0
    with open_whole(path) as file:
        for document in kept_documents(layout):
            row: Any = written_row(document)
            file.write((",\n" if number else "[\n").encode() + json.dumps(row, ensure_ascii=False).encode())
            number += 1
        file.write(b"\n]\n" if number else b"[]\n")
    return number


def kept_documents(layout: Layout) -> Iterator[Document]:
    """Yield the documents that the steps keep, with all the nodes that they were read with; see `export_rows`."""
    for item in _items(layout):
        kept = read_table(layout.decisions("documents", item), columns=["kept"]).column("kept").to_pylist()
        rows = [row for row, is_kept in enumerate(kept) if is_kept]
        yield from read_documents(layout.documents(item), rows)


def _items(layout: Layout) -> list[int]:
    """Return the work items of the last decisions, in dump order."""
    fs, folder = file_system(layout.decisions("documents", 0).rpartition("/")[0])
    names = [path.rpartition("/")[2] for path in fs.ls(folder, detail=False)] if fs.exists(folder) else []
    found = sorted(int(name.partition(".")[0]) for name in names if name.endswith(".parquet"))
    if not found:
        raise ConfigError(f"{layout.out}: no decisions there; run 'infimm decide RECIPE --out {layout.out}'")
    return found
