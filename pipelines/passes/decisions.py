"""Writes the verdicts of the decide pass: one row per document and per image of every work item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infimm_data.files import file_system, remove
from infimm_data.tables import write_table
from pipelines.facts import Facts
from pipelines.layout import Layout
from pipelines.passes.decide import Decisions
from pipelines.passes.verdicts import Verdicts

_ITEM = re.compile(r"(\d{5,})\.parquet")


def write_decisions(facts: Facts, decisions: Decisions, items: Sequence[int], layout: Layout) -> None:
    """Write decisions/documents and decisions/images, one file per work item each, and remove those of other items."""
    documents, images = facts.documents.select(["id"]), facts.images.select(["id", "node", "url"])
    for item in items:
        table = _table(documents, decisions.documents, facts.document_item, item)
        write_table(layout.decisions("documents", item), table, fingerprint="")
        table = _table(images, decisions.images, facts.image_item, item)
        write_table(layout.decisions("images", item), table, fingerprint="")
    for item in set(decided_items(layout)) - set(items):
        remove(layout.decisions("documents", item))
        remove(layout.decisions("images", item))


def decided_items(layout: Layout) -> list[int]:
    """Return the work items on which the last run decided, ascending."""
    fs, inside = file_system(layout.decisions_folder("documents"))
    names = [path.rpartition("/")[2] for path in fs.ls(inside, detail=False)] if fs.exists(inside) else []
    return sorted(int(match[1]) for match in map(_ITEM.fullmatch, names) if match)


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
