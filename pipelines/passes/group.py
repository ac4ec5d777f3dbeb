"""Group pass: signatures of the whole set -> which documents, and which images, are copies of each other.

Texts are grouped over all documents, so that no threshold changes their groups, as shuffles within the recipe's
memory limit; images over those still wanted at that step, in memory.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.comparing import ComparesEmbeddings, CountsImageUrls, GroupsDocuments, GroupsImages, LiveImages
from infimm_data.errors import ConfigError
from infimm_data.files import absolute, exists
from infimm_data.rules import Level, Mask, measured_with
from infimm_data.tables import (
    fingerprint,
    fingerprint_of_many,
    read_metadata,
    read_table,
    read_tables,
    write_tables,
)
from pipelines.batches import StoredFacts
from pipelines.dedup.compare import compare, plan_for, remove_folder
from pipelines.dedup.components import Stage
from pipelines.dedup.group_table import write_groups
from pipelines.dedup.signatures import Part, in_a_row
from pipelines.dedup.url_counts import MEASURE, count_urls
from pipelines.executor import PassReport
from pipelines.facts import BatchedFacts, Facts, FoundOfImages
from pipelines.layout import Layout
from pipelines.passes.measure import measure_print, signature_column
from pipelines.passes.outcome import Decisions
from pipelines.passes.stages import stages_on
from pipelines.passes.verdicts import KEPT
from pipelines.recipe import Step
from pipelines.run import Run

VERSION = 2  # raise when groups/ changes what it holds


def dedup_texts(run: Run) -> None:
    """Find the groups of copies over the whole set, step by step; raises InfiMMError when that fails."""
    prints = [measure_print(run, item) for item in run.items]
    report = PassReport("dedup", results=[])
    start = time.monotonic()
    for step in run.recipe.steps:
        if isinstance(step.filter, CountsImageUrls):
            print_ = fingerprint("count", VERSION, step.name, prints)
            if not is_grouped(run.layout.groups(step.name), print_):
                report.results.append(count_images(run, step, print_, stages_on(run, step.name)))
        if isinstance(step.filter, GroupsDocuments):
            earlier = earlier_index(run, step)
            print_ = group_print(step, [*prints, read_metadata(earlier)[0] if earlier else None])
            if not is_grouped(run.layout.groups(step.name), print_):
                stage = stages_on(run, step.name)
                report.results.append(group_documents(run, step, earlier, print_, stage))
    report.seconds = time.monotonic() - start
    run.reports.append(report)


def check_earlier(run: Run) -> None:
    """Raise ConfigError where a step cannot be compared with the recipe's earlier dataset (`earlier_index`)."""
    for step in run.recipe.steps:
        if isinstance(step.filter, GroupsDocuments):
            earlier_index(run, step)


def earlier_index(run: Run, step: Step) -> str | None:
    """Return the index of the earlier dataset that a step compares with, None without one.

    Raises ConfigError where that dataset has none, or one that was made with other settings.
    """
    if run.recipe.dedup.against is None:
        return None
    against = absolute(run.recipe.dedup.against)  # workers have working folders of their own
    path = Layout(against).groups(f"{step.name}.index")
    where = f"{run.recipe.path}: dedup.against: {run.recipe.dedup.against}"
    if against == absolute(run.layout.out):
        raise ConfigError(f"{where}: that is where this build goes; name an earlier one, or leave the key out")
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


def group_documents(run: Run, step: Step, earlier: str | None, print_: str, stage: Stage) -> int:
    """Write groups/NAME.parquet; return how many groups there are."""
    assert isinstance(step.filter, GroupsDocuments)
    path = run.layout.groups(step.name)
    parts = parts_of(run.layout, run.keys, signature_column(step.name), earlier)
    plan = plan_for(step.filter, parts, run.recipe.dedup.memory_bytes, run.cluster.num_cpus)
    folder = path.removesuffix(".parquet") + ".shuffle"
    members = compare(plan, folder, stage)
    (found,) = stage("table", write_groups, [(plan, step.name, members, path, print_)])
    remove_folder(folder)
    return int(found)


def count_images(run: Run, step: Step, print_: str, stage: Stage) -> int:
    """Write groups/NAME.parquet with the count of each image's URL; return how many images there are."""
    assert isinstance(step.filter, CountsImageUrls)
    tables = [(item, run.layout.image_scores(item), "url") for item in run.keys]
    workers = run.cluster.num_cpus
    share = run.recipe.dedup.memory_bytes // workers
    path = run.layout.groups(step.name)
    return count_urls(
        step.filter, in_a_row(tables), share=share, workers=workers, path=path, print_=print_, stage=stage
    )


def parts_of(layout: Layout, items: Sequence[str], column: str, earlier: str | None = None) -> list[Part]:
    """Return the tables with signatures: of an earlier dataset first, as its documents stay, then of all work items."""
    named = [("", earlier, "signature")] if earlier else []
    return in_a_row([*named, *((item, layout.document_scores(item), column) for item in items)])


def write_indices(run: Run, facts: BatchedFacts, decisions: Decisions) -> None:
    """Write what a later build compares itself with: the signatures of the documents kept, a file for each such step.

    The index of this build's own earlier dataset stands first, so that the last of a chain tells of all.
    """
    for step in run.recipe.steps:
        if isinstance(step.filter, GroupsDocuments):
            earlier = earlier_index(run, step)
            known = read_metadata(earlier)[0] if earlier else None
            ids = (key for item in run.keys for key in _kept_ids(run.layout, item, facts, decisions).to_pylist())
            print_ = fingerprint_of_many("index", VERSION, known, texts=ids)
            path = run.layout.groups(f"{step.name}.index")
            if not is_grouped(path, print_):
                tables = _index_tables(run, step, facts, decisions, earlier)
                write_tables(path, tables, fingerprint=print_, counts={"settings": index_settings(step)})


def _kept_ids(layout: Layout, item: str, facts: BatchedFacts, decisions: Decisions) -> pa.ChunkedArray:
    """Return the ids of the documents of a work item that are kept."""
    ids = read_table(layout.document_scores(item), columns=["id"]).column("id")
    return ids.filter(pa.array(decisions.documents.line[facts.rows_of_item(item)] == KEPT))


def thin_indices(layout: Layout, steps: Sequence[Step], gone: Sequence[str]) -> None:
    """Take documents (ids) out of the indices: a later build must not take what was purged for a copy that stays."""
    for step in steps:
        path = layout.groups(f"{step.name}.index")
        if gone and isinstance(step.filter, GroupsDocuments) and exists(path):
            before, counts = read_metadata(path)
            out = pa.array(gone, type=pa.string())
            left = (one.filter(pc.invert(pc.is_in(one.column("id"), value_set=out))) for one in read_tables(path))
            write_tables(path, left, fingerprint=fingerprint("purge", before, list(gone)), counts=counts)


def _index_tables(
    run: Run, step: Step, facts: BatchedFacts, decisions: Decisions, earlier: str | None
) -> Iterator[pa.Table]:
    schema = pa.schema([("id", pa.string()), ("signature", pa.binary())])
    yield schema.empty_table()
    if earlier:
        yield from read_tables(earlier)
    for item in run.keys:
        table = read_table(run.layout.document_scores(item), columns=["id", signature_column(step.name)])
        table = table.rename_columns(["id", "signature"]).cast(schema)
        is_kept = pa.array(decisions.documents.line[facts.rows_of_item(item)] == KEPT)
        yield table.filter(pc.and_(is_kept, pc.greater(pc.binary_length(table.column("signature")), 0)))


def gather(run: Run, compared: Collection[str] = (), found: Sequence[FoundOfImages] = ()) -> StoredFacts:
    """Return what rules read of all that is stored so far, with the groups of documents.

    compared: steps whose comparison of embeddings this run has made; found: what it found of images.
    """
    return StoredFacts(run.layout, run.keys, run.recipe, compared=compared, found=found)


def add_document_groups(facts: Facts, steps: Sequence[Step], layout: Layout, items: Sequence[str]) -> Facts:
    """Return the facts with what each comparing step found: groups of documents, counts of images."""
    columns: dict[str, Any] = {}
    for step in steps:
        if isinstance(step.filter, GroupsDocuments):
            columns |= group_columns(step.name, layout, items)
        if isinstance(step.filter, CountsImageUrls):
            facts = facts.with_images({MEASURE: group_columns(step.name, layout, items)[MEASURE]})
    return facts.with_documents(columns)


def group_print(step: Step, measure_prints: Sequence[str | None]) -> str:
    """Return the fingerprint of groups of documents: all signatures, and how they are compared."""
    return fingerprint("group", VERSION, step.name, measured_with(step.filter), list(measure_prints))


def is_grouped(path: str, print_: str) -> bool:
    """Return whether the groups were already found from exactly these signatures."""
    return read_metadata(path)[0] == print_


def add_stored_comparisons(facts: Facts, steps: Sequence[Step], layout: Layout, items: Sequence[str]) -> Facts:
    """Return the facts with what the last build found of embeddings, which is not found anew for other thresholds."""
    for step in steps:
        if isinstance(step.filter, ComparesEmbeddings):
            columns = group_columns(step.name, layout, items)
            facts = facts.with_images({name: columns[name] for name in columns})
    return facts


def group_columns(name: str, layout: Layout, items: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """Return what is stored of every document (or image) of these work items, in dump order.

    An item that failed after the groups were found takes its documents out of them, and no others.
    """
    table = read_table(layout.groups(name))
    here = pc.is_in(table.column("item"), value_set=pa.array(items, type=pa.string()))
    found = table.filter(here)
    return {column: found.column(column) for column in found.column_names if column not in ("item", "id", "node")}


def group_images(groups: GroupsImages, facts: BatchedFacts, live: Mask) -> FoundOfImages:
    """Return what a comparing step measures of every image that is live, within the memory limit of stored facts."""
    size, start = int(live.sum()), 0
    allocate = facts.scratch.empty
    rows, documents = allocate(size, np.int64), allocate(size, np.int64)
    phash = allocate(size if "phash" in groups.compares else 0, np.uint64)
    sha256 = np.full(size if "sha256" in groups.compares else 0, None, dtype=object)
    for part in facts.batches():
        taken = np.flatnonzero(live[part.image_rows])
        into = slice(start, start + len(taken))
        rows[into], documents[into] = taken + part.first_image, part.image_document[taken] + part.first_document
        if len(phash):
            phash[into] = part.images.column("phash").take(pa.array(taken)).to_numpy().astype(np.uint64)
        if len(sha256):
            sha256[into] = part.images.column("sha256").take(pa.array(taken)).to_pylist()
        start = into.stop
    images = LiveImages(phash=phash, sha256=sha256, document=documents, at_once=facts.images_at_once, allocate=allocate)
    return FoundOfImages(rows, groups.compare(images))


def write_image_groups(name: str, found: FoundOfImages, facts: BatchedFacts, layout: Layout) -> None:
    """Keep what the image groups were, beside the document groups; made anew by every run, in milliseconds."""
    keys: Mapping[Level, Sequence[str]] = {"image": []}

    def tables() -> Iterator[pa.Table]:
        for item in facts.items:
            here = facts.of_item(item, keys)
            columns = {one: pa.array(found.spread(one, here.image_rows), type=types[one]) for one in found.columns}
            yield pa.table({"id": here.images.column("id"), "node": here.images.column("node")} | columns)

    types = {one: pa.string() if values.dtype == object else pa.float64() for one, values in found.columns.items()}
    write_tables(layout.groups(name), tables(), fingerprint="")
