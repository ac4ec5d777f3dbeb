"""What the passes stored of some work items, as one table of documents and one of images."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimm_data.files import exists, file_system, read_bytes
from infimm_data.rules import AssignsImages, ScoresPairs
from infimm_data.tables import read_table
from infimm_data.vectors import ScoresEmbeddings
from pipelines.columns import NOTHING, with_columns
from pipelines.facts import (
    AGREEMENT,
    ASSIGNED_COLUMNS,
    DATE,
    FETCHED_COLUMNS,
    PURGED,
    Facts,
)
from pipelines.layout import Layout
from pipelines.recipe import Recipe


def load_facts(
    layout: Layout, items: Sequence[str], recipe: Recipe, measures: Collection[str] | None = None,
    *, keys: bool | None = None, known_dates: pa.Array | None = None,
) -> Facts:  # fmt: skip
    """Return the facts of the given work items, with all that was stored about them so far.

    measures: only these columns; None: all of them. keys: whether ids, nodes and URLs are among the columns; by default
    where all are. known_dates: all dates of the build, ascending; None: those of these items.
    """
    documents, images, rows, offsets = [], [], [], 0
    item_of, image_item, image_document, dates = [], [], [], []
    is_dated = DATE in {name.removeprefix("-") for name in recipe.dedup.rank}
    has_keys = measures is None if keys is None else keys
    purged = purged_urls(layout)
    for place, item in enumerate(items):
        table = read_measures(layout.document_scores(item), measures, keys=("id",))
        found = _images_of(layout, item, recipe, measures)
        if purged is not None:
            urls = read_table(layout.documents(item), columns=["url"]).column("url")
            table = table.append_column(PURGED, pc.cast(pc.is_in(urls, value_set=purged), pa.float64()))
            gone = pc.is_in(found.column("url"), value_set=purged)
            found = found.append_column(PURGED, pc.cast(gone, pa.float64()))
        position = pc.index_in(found.column("id"), value_set=table.column("id").combine_chunks())
        documents.append(table if has_keys else _without(table, ["id"]))
        images.append(found if has_keys else _without(found, ["id", "node", "url"]))
        rows.append(np.arange(table.num_rows))
        item_of.append(np.full(table.num_rows, place))
        image_item.append(np.full(found.num_rows, place))
        image_document.append(position.to_numpy().astype(np.int64) + offsets)
        offsets += table.num_rows
        if is_dated:
            dates.append(read_table(layout.documents(item), columns=["date"]).column("date"))
    facts = Facts(
        items=tuple(items),
        documents=pa.concat_tables(documents, promote_options="permissive"),
        images=pa.concat_tables(images, promote_options="permissive"),
        document_item=np.concatenate(item_of).astype(np.int64),
        document_row=np.concatenate(rows).astype(np.int64),
        image_item=np.concatenate(image_item).astype(np.int64),
        image_document=np.concatenate(image_document).astype(np.int64),
        rank=recipe.dedup.rank,
        dates=_in_order(dates, known_dates),
    )
    return _with_agreement(facts) if "assigned_beside" in facts.images.column_names else facts


def _without(table: pa.Table, keys: list[str]) -> pa.Table:
    """Return a table without its keys, but with a column that is never asked: one without any would have no rows."""
    return table.drop_columns(keys).append_column(NOTHING, pa.nulls(table.num_rows))


def dates_of(layout: Layout, items: Sequence[str]) -> pa.Array:
    """Return the different dates of documents, ascending: a crawl has as many as seconds, whatever its size."""
    found = pa.array([], type=pa.string())
    for item in items:
        here = read_table(layout.documents(item), columns=["date"]).column("date")
        found = pc.unique(pa.chunked_array([found, pc.unique(here)]))
    return found.take(pc.array_sort_indices(found))


def _in_order(dates: Sequence[pa.ChunkedArray], known: pa.Array | None) -> npt.NDArray[np.float64]:
    """Return ISO 8601 dates in UTC as numbers in their order, NaN for "": they sort as texts."""
    if not dates:
        return np.empty(0)
    column = pa.chunked_array([chunk for one in dates for chunk in one.chunks], type=pa.string())
    known = known if known is not None else pc.unique(column).take(pc.array_sort_indices(pc.unique(column)))
    places = pc.index_in(column, value_set=known).to_numpy().astype(np.float64)
    places[pc.equal(column, "").to_numpy(zero_copy_only=False)] = np.nan
    return np.asarray(places)


def _with_agreement(facts: Facts) -> Facts:
    """Add to each document the share of its assigned images that stand beside their sentence; NaN without any."""
    beside = np.asarray(facts.image_column("assigned_beside"), dtype=np.float64)
    rows = np.flatnonzero(~np.isnan(beside))
    owners, size = facts.image_document[rows], facts.num_documents
    assigned = np.bincount(owners, minlength=size)
    agreeing = np.bincount(owners, weights=beside[rows], minlength=size)
    return facts.with_documents({AGREEMENT: np.where(assigned > 0, agreeing / np.maximum(assigned, 1), np.nan)})


def purged_urls(layout: Layout) -> pa.Array | None:
    """Return the URLs of pages and images that were taken down, None where nothing was."""
    if not exists(layout.purge("urls.txt")):
        return None
    return pa.array(read_bytes(layout.purge("urls.txt")).decode().splitlines(), type=pa.string())


def read_measures(path: str, measures: Collection[str] | None, *, keys: Sequence[str]) -> pa.Table:
    """Return keys and measures (None: all) of a table, but signatures and vectors, which only other passes compare."""
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        schema = pq.read_schema(file)
    wanted = [
        column.name
        for column in schema
        if column.name in keys or (not _is_compared_only(column.type) and (measures is None or column.name in measures))
    ]
    return read_table(path, columns=wanted).replace_schema_metadata(None)


def _is_compared_only(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_nested(type_))


def _images_of(layout: Layout, item: str, recipe: Recipe, measures: Collection[str] | None) -> pa.Table:
    """Return the image rows of a work item with what the fetch and score passes stored about them."""
    table = read_measures(layout.image_scores(item), measures, keys=("id", "node", "url"))
    if exists(layout.images(item)):
        wanted = [name for name in FETCHED_COLUMNS if measures is None or name in measures]
        fetched = read_table(layout.images(item), columns=["url", *wanted])
        at = pc.index_in(table.column("url"), value_set=fetched.column("url").combine_chunks())
        table = with_columns(table, {name: fetched.column(name).take(at) for name in wanted})
    for step in recipe.steps:
        path = layout.pair_scores(step.name, item)
        if isinstance(step.filter, ScoresPairs | ScoresEmbeddings) and exists(path):
            asked = [rule.measure for rule in step.filter.rules()]
            scores = read_measures(path, measures, keys=("id", "node"))
            table = _join_scores(table, scores, [name for name in asked if name not in ASSIGNED_COLUMNS])
            if isinstance(step.filter, AssignsImages) and exists(layout.assigned(step.name, item)):
                assigned = read_measures(layout.assigned(step.name, item), measures, keys=("id", "node"))
                table = _join_scores(
                    table, assigned, [name for name in ASSIGNED_COLUMNS if name in assigned.column_names]
                )
    return table


def _join_scores(table: pa.Table, scores: pa.Table, asked: Sequence[str]) -> pa.Table:
    """Add the score columns to their image rows; rows that were not scored get null.

    asked: the measures that rules read; where nothing was scored there are no columns, and these are null.
    """
    if not scores.num_rows:
        return with_columns(table, {name: pa.nulls(table.num_rows) for name in dict.fromkeys(asked)})
    at = pc.index_in(_pair_keys(table), value_set=_pair_keys(scores))
    names = [name for name in scores.column_names if name not in ("id", "node")]
    return with_columns(table, {name: scores.column(name).take(at) for name in names})


def _pair_keys(table: pa.Table) -> pa.Array:
    keys = pc.binary_join_element_wise(table.column("id"), pc.cast(table.column("node"), pa.string()), "/")
    return keys.combine_chunks()
