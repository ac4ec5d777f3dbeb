"""Writes the verdicts of the decide pass: one row per document and per image of every work item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from infimm_data.tables import write_table
from pipelines.facts import Facts
from pipelines.layout import Layout
from pipelines.passes.decide import Decisions, Verdicts


def write_decisions(facts: Facts, decisions: Decisions, items: Sequence[int], layout: Layout) -> None:
    """Write decisions/documents and decisions/images, one file per work item each."""
    documents = _table(facts.documents.select(["id"]), decisions.documents)
    images = _table(facts.images.select(["id", "node", "url"]), decisions.images)
    for item in items:
        here = np.flatnonzero(facts.document_item == item)
        write_table(layout.decisions("documents", item), documents.take(here), fingerprint="")
        here = np.flatnonzero(facts.image_item == item)
        write_table(layout.decisions("images", item), images.take(here), fingerprint="")


def _table(keys: pa.Table, verdicts: Verdicts) -> pa.Table:
    columns: dict[str, Any] = {"kept": pa.array(verdicts.kept)}
    for name in ("step", "reason", "threshold"):
        columns[name] = pa.array(getattr(verdicts, name).tolist(), type=pa.string())
    columns["value"] = pa.array(verdicts.shown_values(), type=pa.string())
    for name, values in columns.items():
        keys = keys.append_column(name, values)
    return keys
