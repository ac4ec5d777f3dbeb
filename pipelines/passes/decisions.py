"""Writes the verdicts of the decide pass: one row per document and per image of every work item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infimm_data.files import exists, file_names, join, read_bytes, remove, write_bytes
from infimm_data.tables import write_table
from pipelines.facts import Facts
from pipelines.layout import Layout
from pipelines.passes.decide import Decisions
from pipelines.passes.verdicts import Verdicts
from pipelines.sources.contract import WorkItem


def write_decisions(facts: Facts, decisions: Decisions, items: Sequence[WorkItem], layout: Layout) -> None:
    """Write decisions/documents and decisions/images, one file per work item each, and remove those of other items.

    items: those of the facts, in the same order; it is written down as well.
    """
    documents, images = facts.documents.select(["id"]), facts.images.select(["id", "node", "url"])
    for place, item in enumerate(facts.items):
        table = _table(documents, decisions.documents, facts.document_item, place)
        write_table(layout.decisions("documents", item), table, fingerprint="")
        table = _table(images, decisions.images, facts.image_item, place)
        write_table(layout.decisions("images", item), table, fingerprint="")
    write_decided_items(items, layout)
    known = {f"{item}.parquet" for item in facts.items}
    for level in ("documents", "images"):
        folder = layout.decisions_folder(level)
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


def _table(keys: pa.Table, verdicts: Verdicts, items: npt.NDArray[np.int64], item: int) -> pa.Table:
    """Return the verdicts of one work item, whose rows lie together."""
    start, stop = (int(at) for at in np.searchsorted(items, [item, item + 1]))
    here = Verdicts(verdicts.line[start:stop], verdicts.funnel)
    columns: dict[str, Any] = {"kept": pa.array(here.kept)}
    for name in ("step", "reason", "threshold"):
        columns[name] = pa.array(getattr(here, name), type=pa.string())
    columns["value"] = pa.array(verdicts.shown_values(start, stop), type=pa.string())
    found = keys.slice(start, stop - start)
    for name, values in columns.items():
        found = found.append_column(name, values)
    return found
