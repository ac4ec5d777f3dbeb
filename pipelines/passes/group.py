"""Group pass: signatures of the whole set -> which documents, and which images, are copies of each other.

Texts are grouped over all documents, so that no threshold changes their groups, as shuffles within the recipe's
memory limit; images over those still wanted at that step, in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from infimm_data.comparing import ComparesEmbeddings, CountsImageUrls, GroupsDocuments, GroupsImages, LiveImages
from infimm_data.errors import ConfigError
from infimm_data.files import absolute, exists
from infimm_data.rules import Mask, measured_with
from infimm_data.tables import fingerprint, read_metadata, read_table, write_table, write_tables
from pipelines.dedup.compare import compare, plan_for, remove_folder
from pipelines.dedup.components import Stage
from pipelines.dedup.group_table import write_groups
from pipelines.dedup.signatures import Part, in_a_row
from pipelines.dedup.url_counts import MEASURE, count_urls
from pipelines.executor import PassReport
from pipelines.facts import Facts, load_facts
from pipelines.layout import Layout
from pipelines.passes.decide import Decisions
from pipelines.passes.measure import measure_print, signature_column
from pipelines.passes.stages import stages_on
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


def thin_indices(layout: Layout, steps: Sequence[Step], gone: Sequence[str]) -> None:
    """Take documents (ids) out of the indices: a later build must not take what was purged for a copy that stays."""
    for step in steps:
        path = layout.groups(f"{step.name}.index")
        if gone and isinstance(step.filter, GroupsDocuments) and exists(path):
            before, counts = read_metadata(path)
            table = read_table(path).replace_schema_metadata(None)
            left = table.filter(pc.invert(pc.is_in(table.column("id"), value_set=pa.array(gone, type=pa.string()))))
            write_table(path, left, fingerprint=fingerprint("purge", before, list(gone)), counts=counts)


def _index_tables(run: Run, step: Step, kept: pa.ChunkedArray, earlier: str | None) -> Iterator[pa.Table]:
    schema = pa.schema([("id", pa.string()), ("signature", pa.binary())])
    yield schema.empty_table()
    if earlier:
        yield read_table(earlier)
    for item in run.keys:
        table = read_table(run.layout.document_scores(item), columns=["id", signature_column(step.name)])
        table = table.rename_columns(["id", "signature"]).cast(schema)
        is_kept = pc.is_in(table.column("id"), value_set=kept.combine_chunks())
        yield table.filter(pc.and_(is_kept, pc.greater(pc.binary_length(table.column("signature")), 0)))


def gather(run: Run) -> Facts:
    """Return all measures stored so far, with the groups of documents."""
    facts = load_facts(run.layout, run.keys, run.recipe)
    return add_document_groups(facts, run.recipe.steps, run.layout, run.keys)


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


def group_images(groups: GroupsImages, facts: Facts, live: Mask) -> dict[str, Any]:
    """Return what a comparing step measures of every image row; null where the image is not live."""
    rows = np.flatnonzero(live)
    taken = pa.array(rows)
    phash, sha256 = np.zeros(len(rows), dtype=np.uint64), np.full(len(rows), None, dtype=object)
    if "phash" in groups.compares:
        phash = facts.images.column("phash").take(taken).to_numpy().astype(np.uint64)
    if "sha256" in groups.compares:
        sha256 = np.array(facts.images.column("sha256").take(taken).to_pylist(), dtype=object)
    images = LiveImages(phash=phash, sha256=sha256, document=facts.image_document[rows])
    return {name: _spread(values, rows, facts.num_images) for name, values in groups.compare(images).items()}


def _spread(values: npt.NDArray[Any], rows: npt.NDArray[np.int64], size: int) -> npt.NDArray[Any]:
    spread = np.full(size, None if values.dtype == object else np.nan, dtype=values.dtype)
    spread[rows] = values
    return spread


def write_image_groups(name: str, columns: dict[str, Any], facts: Facts, layout: Layout) -> None:
    """Keep what the image groups were, beside the document groups; made anew by every run, in milliseconds."""
    keys = {"id": facts.images.column("id"), "node": facts.images.column("node")}
    write_table(layout.groups(name), pa.table(keys | columns), fingerprint="")
