"""Assign pass: the stored similarities of images and sentences -> which image goes with which sentence.

Cheap, and made anew when other images are wanted or a bound changes: an image that is dropped frees its sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infimm_data.rules import AssignsImages, Mask
from infimm_data.tables import fingerprint, measures_table, read_documents, read_metadata, read_table, write_table
from pipelines.facts import ASSIGNED_COLUMNS, BatchedFacts
from pipelines.layout import Layout
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 1


def assign(run: Run, facts: BatchedFacts, step: Step, assigns: AssignsImages, live: Mask) -> bool:
    """Assign the live images of every work item; return whether an item failed."""
    todo = []
    for item in run.items:
        here = facts.of_item(item.key, {"image": []})
        rows = np.flatnonzero(live[here.image_rows])
        nodes = here.images.column("node").take(rows).to_pylist()
        wanted: dict[int, list[int]] = {}
        for row, node in zip(here.document_row[here.image_document[rows]].tolist(), nodes, strict=True):
            wanted.setdefault(row, []).append(node)
        scored = read_metadata(run.layout.pair_scores(step.name, item.key))[0]
        bounds = {name: value for name, value in dataclasses.asdict(assigns).items() if name != "order"}  # type: ignore[call-overload]  # every filter is a dataclass
        print_ = fingerprint("assign", VERSION, scored, bounds, sorted(wanted.items()))
        if read_metadata(run.layout.assigned(step.name, item.key))[0] != print_:
            todo.append((item, (step.name, assigns, item.key, run.layout, wanted, print_)))
    return bool(run.go(f"assign {step.name}", assign_item, todo).failures)


def assign_item(
    name: str, assigns: AssignsImages, item: str, layout: Layout, wanted: Mapping[int, Sequence[int]], print_: str
) -> int:
    """Write what is assigned in one work item; return how many images have a sentence.

    wanted: row of a document in its file -> its image nodes that take part.
    """
    scores = _similarities(layout.pair_scores(name, item))
    ids: list[str] = []
    nodes: list[int] = []
    rows: list[dict[str, Any]] = []
    documents = read_documents(layout.documents(item), sorted(wanted))
    for row, document in zip(sorted(wanted), documents, strict=True):
        known = {node: found for node in wanted[row] if (found := scores.get((document.id, node))) is not None}
        for node, measures in sorted(assigns.assign(document, known).items()):
            ids.append(document.id)
            nodes.append(node)
            rows.append(measures)
    table = measures_table({"id": ids, "node": nodes}, rows, ASSIGNED_COLUMNS)
    write_table(layout.assigned(name, item), table, fingerprint=print_)
    return len(ids)


def _similarities(path: str) -> dict[tuple[str, int], bytes | None]:
    """Return what the model said of each image, 1 KB at most; an item where nothing was scored has no column."""
    table = read_table(path)
    if "similarities" not in table.column_names:
        return {}
    columns = (table.column(name).to_pylist() for name in ("id", "node", "similarities"))
    return {(document, node): found for document, node, found in zip(*columns, strict=True)}
