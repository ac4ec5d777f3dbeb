"""Group pass: signatures of the whole set -> which documents, and which images, are copies of each other.

First form: one task that holds all signatures (a MinHash of 512 bytes per document: 10 million documents in
5 GB). Texts are grouped over all documents, so that no threshold changes their groups; images over those still
wanted at that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.errors import InfiMMError
from infimm_data.rules import GroupsDocuments, GroupsImages, Mask, measured_with
from infimm_data.tables import fingerprint, read_metadata, read_table, write_table
from pipelines.executor import Task
from pipelines.facts import Facts, load_facts
from pipelines.layout import Layout
from pipelines.passes.measure import measure_print, signature_column
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 1  # raise when groups/ changes what it holds


def dedup_texts(run: Run) -> None:
    """Find the groups of near-identical documents over the whole set; raises InfiMMError when that fails."""
    prints = [measure_print(run, item) for item in run.items]
    tasks = []
    for step in run.recipe.steps:
        print_ = group_print(step, prints)
        if isinstance(step.filter, GroupsDocuments) and not is_grouped(run.layout.groups(step.name), print_):
            tasks.append(Task(step.name, (step.name, step.filter, run.keys, run.layout, print_)))
    report = run.cluster.run("dedup", group_documents, tasks)
    run.reports.append(report)
    for failure in report.failures:
        raise InfiMMError(f"dedup: {failure.name}: {failure.problem}")


def gather(run: Run) -> Facts:
    """Return all measures stored so far, with the groups of documents."""
    facts = load_facts(run.layout, run.keys, run.recipe)
    return add_document_groups(facts, run.recipe.steps, run.layout, run.keys)


def add_document_groups(facts: Facts, steps: Sequence[Step], layout: Layout, items: Sequence[str]) -> Facts:
    """Return the facts with the stored groups that each comparing step found."""
    names = [step.name for step in steps if isinstance(step.filter, GroupsDocuments)]
    return facts.with_documents({f"{name}_group": group_column(name, layout, items) for name in names})


def group_print(step: Step, measure_prints: Sequence[str]) -> str:
    """Return the fingerprint of groups of documents: all signatures, and how they are compared."""
    return fingerprint("group", VERSION, step.name, measured_with(step.filter), list(measure_prints))


def is_grouped(path: str, print_: str) -> bool:
    """Return whether the groups were already found from exactly these signatures."""
    return read_metadata(path)[0] == print_


def group_documents(name: str, groups: GroupsDocuments, items: Sequence[str], layout: Layout, print_: str) -> int:
    """Write groups/NAME.parquet; return how many groups there are.

    Columns: item (key), id, NAME_group (the id of the group's first document, null where it is alone).
    """
    column = signature_column(name)
    tables = [read_table(layout.document_scores(item), columns=["id", column]) for item in items]
    table = pa.concat_tables(tables, promote_options="permissive")
    ids = table.column("id").to_pylist()
    first = groups.group(table.column(column).to_pylist())
    sizes = np.bincount(first, minlength=len(ids))
    slugs = [ids[position] if sizes[position] > 1 else None for position in first]
    of_item = pa.array(np.repeat(np.asarray(items, dtype=object), [table.num_rows for table in tables]), pa.string())
    found = pa.table({"item": of_item, "id": ids, f"{name}_group": pa.array(slugs, type=pa.string())})
    write_table(layout.groups(name), found, fingerprint=print_)
    return int((sizes > 1).sum())


def group_column(name: str, layout: Layout, items: Sequence[str]) -> pa.ChunkedArray:
    """Return the stored group of every document of these work items, in dump order.

    An item that failed after the groups were found takes its documents out of them, and no others.
    """
    table = read_table(layout.groups(name), columns=["item", f"{name}_group"])
    here = pc.is_in(table.column("item"), value_set=pa.array(items, type=pa.string()))
    return table.filter(here).column(f"{name}_group")


def group_images(groups: GroupsImages, facts: Facts, live: Mask) -> dict[str, Any]:
    """Return `image_documents` and `image_repeat` for every image row; null where the image is not live."""
    rows = np.flatnonzero(live)
    hashes = facts.images.column("phash").take(pa.array(rows)).to_numpy().astype(np.uint64)
    first = groups.group_hashes(hashes)
    documents = facts.image_document[rows]
    in_documents, repeats = _count(first, documents)
    return {
        "image_documents": _spread(in_documents, rows, facts.num_images),
        "image_repeat": _spread(repeats, rows, facts.num_images),
    }


def _count(
    groups: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return per image the distinct documents of its group, and how often the group came before in its document."""
    span = int(documents.max(initial=0)) + 1  # a pair as one number: ten times as fast as unique rows
    distinct, pair_of = np.unique(groups * span + documents, return_inverse=True)
    per_group = np.bincount(distinct // span, minlength=int(groups.max(initial=-1)) + 1)
    order = np.argsort(pair_of, kind="stable")  # rows are in reading order, and stay so within a pair
    starts = np.searchsorted(pair_of[order], pair_of[order], side="left")
    repeats = np.empty(len(groups))
    repeats[order] = np.arange(len(groups)) - starts
    return per_group[groups].astype(np.float64), repeats


def _spread(values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    spread = np.full(size, np.nan)
    spread[rows] = values
    return spread


def write_image_groups(name: str, columns: dict[str, Any], facts: Facts, layout: Layout) -> None:
    """Keep what the image groups were, beside the document groups; made anew by every run, in milliseconds."""
    keys = {"id": facts.images.column("id"), "node": facts.images.column("node")}
    write_table(layout.groups(name), pa.table(keys | columns), fingerprint="")
