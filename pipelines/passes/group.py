"""Group pass: signatures of the whole set -> which documents, and which images, are copies of each other.

Texts are grouped over all documents, so that no threshold changes their groups, as shuffles within the recipe's
memory limit; images over those still wanted at that step, in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.rules import GroupsDocuments, GroupsImages, Mask, measured_with
from infimm_data.tables import fingerprint, read_metadata, read_table, write_table, write_tables
from pipelines.dedup.compare import compare, plan_for, remove_folder
from pipelines.dedup.components import MEMBER, Stage
from pipelines.dedup.segments import read_segments
from pipelines.dedup.signatures import Part, num_rows
from pipelines.dedup.stages import Plan
from pipelines.executor import Cluster, PassReport, Task
from pipelines.facts import EARLIER, Facts, load_facts
from pipelines.layout import Layout
from pipelines.passes.decide import Decisions
from pipelines.passes.measure import measure_print, signature_column
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 2  # raise when groups/ changes what it holds


def dedup_texts(run: Run) -> None:
    """Find the groups of copies over the whole set, step by step; raises InfiMMError when that fails."""
    prints = [measure_print(run, item) for item in run.items]
    report = PassReport("dedup", results=[])
    run.reports.append(report)
    start = time.monotonic()
    for step in run.recipe.steps:
        if isinstance(step.filter, GroupsDocuments):
            earlier = earlier_index(run, step)
            print_ = group_print(step, [*prints, read_metadata(earlier)[0] if earlier else None])
            if not is_grouped(run.layout.groups(step.name), print_):
                stage = stages_on(run.cluster, step.name, report)
                report.results.append(group_documents(run, step, earlier, print_, stage))
    report.seconds = time.monotonic() - start


def earlier_index(run: Run, step: Step) -> str | None:
    """Return the index of the earlier dataset that a step compares with, None without one.

    Raises ConfigError where that dataset has none, or one that was made with other settings.
    """
    if run.recipe.dedup.against is None:
        return None
    path = Layout(run.recipe.dedup.against).groups(f"{step.name}.index")
    where = f"{run.recipe.path}: dedup.against: {run.recipe.dedup.against}"
    found = read_metadata(path)[1]
    if not found:
        raise ConfigError(
            f"{where}: no index of '{step.name}' there; expected a folder that 'infimm build' finished with that step"
        )
    if found["settings"] != index_settings(step):
        raise ConfigError(
            f"{where}: its index of '{step.name}' was made with {found['settings']}, this recipe asks for "
            f"{index_settings(step)}; signatures compare under equal settings only"
        )
    return path


def index_settings(step: Step) -> dict[str, Any]:
    """Return what signatures of two datasets must agree in."""
    return measured_with(step.filter)


def stages_on(cluster: Cluster, name: str, report: PassReport) -> Stage:
    """Return what runs the stages of a comparison on a cluster.

    Raises InfiMMError when one fails; the report keeps what failed.
    """

    def stage(kind: str, function: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> list[Any]:
        tasks = [Task(f"{name} {kind} {number}", arguments) for number, arguments in enumerate(given)]
        done = cluster.run(f"dedup {name}: {kind}", function, tasks)
        report.failures += done.failures
        for failure in done.failures:
            raise InfiMMError(f"dedup: {failure.name}: {failure.problem}")
        return done.results

    return stage


def group_documents(run: Run, step: Step, earlier: str | None, print_: str, stage: Stage) -> int:
    """Write groups/NAME.parquet; return how many groups there are."""
    assert isinstance(step.filter, GroupsDocuments)
    path = run.layout.groups(step.name)
    parts = parts_of(run.layout, run.indices, signature_column(step.name), earlier)
    plan = plan_for(step.filter, parts, run.recipe.dedup.memory_bytes, run.cluster.num_cpus)
    folder = path.removesuffix(".parquet") + ".shuffle"
    members = compare(plan, folder, stage)
    (found,) = stage("table", write_groups, [(plan, step.name, members, path, print_)])
    remove_folder(folder)
    return int(found)


def parts_of(layout: Layout, items: Sequence[int], column: str, earlier: str | None = None) -> list[Part]:
    """Return the tables with signatures: of an earlier dataset first, as its documents stay, then of all work items."""
    parts: list[Part] = []
    start = 0
    named = [(-1, earlier, "signature")] if earlier else []
    for item, path, name in [*named, *((item, layout.document_scores(item), column) for item in items)]:
        parts.append(Part(path, name, start, num_rows(path), item))
        start += parts[-1].size
    return parts


def write_groups(plan: Plan, name: str, members: Sequence[str], path: str, print_: str) -> int:
    """Write the groups of all work items to one table, a row group each; return how many groups there are.

    Columns: item (the work item), id, NAME_group ("ITEM/ROW" of the group's first document, null where it is alone),
    and, where there is an earlier dataset, NAME_group_earlier (the id of the first document there that the group has).
    """
    counts: dict[str, Any] = {}
    write_tables(path, _group_tables(plan, name, members, counts), fingerprint=print_)
    return int(counts["groups"])


def _group_tables(plan: Plan, name: str, members: Sequence[str], counts: dict[str, Any]) -> Iterator[pa.Table]:
    parts = [part for part in plan.parts if part.item >= 0]
    num_earlier = parts[0].start if parts else 0
    twins = _earlier_ids(plan, members, num_earlier) if num_earlier else None
    starts = np.array([part.start for part in parts], dtype=np.int64)
    items = np.array([part.item for part in parts], dtype=np.int64)
    counts["groups"] = 0
    for part in parts:
        here, roots = _members_of(plan, members, part)
        counts["groups"] += int((here == roots).sum())
        labels = np.full(part.size, -1, dtype=np.int64)
        labels[here - part.start] = roots
        grouped = np.flatnonzero(labels >= num_earlier)
        place = np.searchsorted(starts, labels[grouped], side="right") - 1
        rows = labels[grouped] - starts[place]
        slugs = np.full(part.size, None, dtype=object)
        slugs[grouped] = [f"{item}/{row}" for item, row in zip(items[place].tolist(), rows.tolist(), strict=True)]
        columns = {
            "item": np.full(part.size, part.item, dtype=np.int64),
            "id": read_table(part.path, columns=["id"]).column("id"),
            f"{name}_group": pa.array(slugs, type=pa.string()),
        }
        if twins is not None:
            ids = [twins.get(root) for root in labels.tolist()]
            columns[f"{name}_group{EARLIER}"] = pa.array(ids, type=pa.string())
        yield pa.table(columns)


def _members_of(plan: Plan, members: Sequence[str], part: Part) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the members of groups in one table, ascending and each once, and their roots."""
    first, last = part.start // plan.block_size, -(-(part.start + part.size) // plan.block_size)
    found = read_segments(members, MEMBER, first, max(first, last))
    found = found[(found["member"] >= part.start) & (found["member"] < part.start + part.size)]
    here, at = np.unique(found["member"], return_index=True)
    return here, found["root"][at]


def _earlier_ids(plan: Plan, members: Sequence[str], num_earlier: int) -> dict[int, str]:
    """Return the id of each document of the earlier dataset that is the first of a group."""
    (index,) = (part for part in plan.parts if part.item < 0)
    here, roots = _members_of(plan, members, index)
    own = here[here == roots]
    ids = read_table(index.path, columns=["id"]).column("id").take(pa.array(own)).to_pylist()
    return dict(zip(own.tolist(), ids, strict=True))


def write_indices(run: Run, facts: Facts, decisions: Decisions) -> None:
    """Write what a later build compares itself with: the signatures of the documents kept, a file for each such step.

    The index of this build's own earlier dataset stands first, so that the last of a chain tells of all.
    """
    kept = facts.documents.column("id").filter(pa.array(decisions.documents.kept))
    for step in run.recipe.steps:
        if isinstance(step.filter, GroupsDocuments):
            earlier = earlier_index(run, step)
            print_ = fingerprint("index", VERSION, read_metadata(earlier)[0] if earlier else None, kept.to_pylist())
            path = run.layout.groups(f"{step.name}.index")
            if not is_grouped(path, print_):
                tables = _index_tables(run, step, kept, earlier)
                write_tables(path, tables, fingerprint=print_, counts={"settings": index_settings(step)})


def _index_tables(run: Run, step: Step, kept: pa.ChunkedArray, earlier: str | None) -> Iterator[pa.Table]:
    schema = pa.schema([("id", pa.string()), ("signature", pa.binary())])
    yield schema.empty_table()
    if earlier:
        yield read_table(earlier)
    for item in run.indices:
        table = read_table(run.layout.document_scores(item), columns=["id", signature_column(step.name)])
        table = table.rename_columns(["id", "signature"]).cast(schema)
        is_kept = pc.is_in(table.column("id"), value_set=kept.combine_chunks())
        yield table.filter(pc.and_(is_kept, pc.greater(pc.binary_length(table.column("signature")), 0)))


def gather(run: Run) -> Facts:
    """Return all measures stored so far, with the groups of documents."""
    facts = load_facts(run.layout, run.indices, run.recipe)
    return add_document_groups(facts, run.recipe.steps, run.layout, run.indices)


def add_document_groups(facts: Facts, steps: Sequence[Step], layout: Layout, items: Sequence[int]) -> Facts:
    """Return the facts with the stored groups that each comparing step found."""
    columns: dict[str, Any] = {}
    for step in steps:
        if isinstance(step.filter, GroupsDocuments):
            columns |= group_columns(step.name, layout, items)
    return facts.with_documents(columns)


def group_print(step: Step, measure_prints: Sequence[str | None]) -> str:
    """Return the fingerprint of groups of documents: all signatures, and how they are compared."""
    return fingerprint("group", VERSION, step.name, measured_with(step.filter), list(measure_prints))


def is_grouped(path: str, print_: str) -> bool:
    """Return whether the groups were already found from exactly these signatures."""
    return read_metadata(path)[0] == print_


def group_columns(name: str, layout: Layout, items: Sequence[int]) -> dict[str, pa.ChunkedArray]:
    """Return what is stored of the groups of every document of these work items, in dump order.

    An item that failed after the groups were found takes its documents out of them, and no others.
    """
    table = read_table(layout.groups(name))
    here = pc.is_in(table.column("item"), value_set=pa.array(items, type=pa.int64()))
    found = table.filter(here)
    return {column: found.column(column) for column in found.column_names if column not in ("item", "id")}


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
