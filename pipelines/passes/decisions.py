"""Writes the verdicts of the decide pass: one row per document and per image of every work item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from infimm_data.files import exists, file_names, join, read_bytes, remove, write_bytes
from infimm_data.rules import Level
from infimm_data.tables import read_table, write_table
from pipelines.layout import Layout
from pipelines.passes.outcome import Decisions
from pipelines.passes.values import shown_values
from pipelines.passes.verdicts import Verdicts
from pipelines.sources.contract import WorkItem

LEVELS: tuple[Level, ...] = ("document", "image")
KEYS: dict[Level, list[str]] = {"document": ["id"], "image": ["id", "node", "url"]}
"""The columns of decisions/ that say which row is meant."""


def write_decisions(decisions: Decisions, items: Sequence[WorkItem], layout: Layout) -> None:
    """Write decisions/documents and decisions/images, one file per work item each, and remove those of other items.

    items: those of the facts that were decided on, in the same order; it is written down as well.
    """
    for part in decisions.facts.batches():
        shown = {level: shown_values(part, decisions, level) for level in LEVELS}
        for place, item in enumerate(part.items):
            for level in LEVELS:
                of_item = part.document_item if level == "document" else part.image_item
                start, stop = (int(at) for at in np.searchsorted(of_item, [place, place + 1]))
                path = layout.document_scores(item) if level == "document" else layout.image_scores(item)
                keys = read_table(path, KEYS[level]).replace_schema_metadata(None)
                before = part.first_document if level == "document" else part.first_image
                verdicts = decisions.documents if level == "document" else decisions.images
                table = _table(keys, verdicts.part(before + start, before + stop), shown[level][start:stop])
                write_table(layout.decisions(f"{level}s", item), table, fingerprint="")
    write_decided_items(items, layout)
    known = {f"{item}.parquet" for item in decisions.facts.items}
    for level in LEVELS:
        folder = layout.decisions_folder(f"{level}s")
        for name in file_names(folder):
            if name not in known:
                remove(join(folder, name))


def write_decided_items(items: Sequence[WorkItem], layout: Layout) -> None:
    """Write down which work items were decided on, in dump order, which the names of their files do not tell."""
    listed = [{"key": item.key, "name": item.name} for item in items]
    write_bytes(layout.decided_items, json.dumps(listed, indent=0).encode())


def decided_items(layout: Layout) -> list[WorkItem]:
    """Return the work items on which the last run decided, in dump order, without where their files lie."""
    if not exists(layout.decided_items):
        return []
    listed = json.loads(read_bytes(layout.decided_items))
    return [WorkItem(index=index, name=found["name"], path="", size_bytes=0) for index, found in enumerate(listed)]


def _table(keys: pa.Table, verdicts: Verdicts, values: Sequence[str]) -> pa.Table:
    """Return the verdicts of one work item."""
    columns: dict[str, Any] = {"kept": pa.array(verdicts.kept)}
    for name in ("step", "reason", "threshold"):
        columns[name] = pa.array(getattr(verdicts, name), type=pa.string())
    columns["value"] = pa.array(values, type=pa.string())
    for name, column in columns.items():
        keys = keys.append_column(name, column)
    return keys
