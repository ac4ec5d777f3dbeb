"""Facts: every stored measure of a build as columns over all its documents and images, without their text.

Memory: about 8 KB per number column and 1,000 documents; texts, image bytes and signatures stay on disk. Dump order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimm_data.comparing import ComparesEmbeddings, GroupsImages
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import exists, file_system, read_bytes
from infimm_data.rules import AssignsImages, ByValue, Level, Mask, ScoresPairs
from infimm_data.tables import read_table
from infimm_data.vectors import ScoresEmbeddings
from pipelines.layout import Layout
from pipelines.recipe import Recipe, Step

FETCHED_COLUMNS = (
    "status", "width", "height", "short_side", "long_side", "aspect", "size_bytes", "format", "sha256", "phash",
    "offset", "stored_bytes", "stored_sha256", "stored_format", "stored_width", "stored_height",
)  # fmt: skip
"""What the fetch pass stores per URL and rules may read; null where the image could not be fetched."""

ASSIGNED_COLUMNS = ("assigned_sentence", "assigned_score", "assigned_beside")
"""What the assign pass stores per image; null where no sentence fits."""

AGREEMENT = "assignment_agreement"
"""A measure of documents: the share of their assigned images that stand beside their sentence in reading order."""

EARLIER = "_earlier"
"""Stands after the name of a column of groups: the id of the twin in an earlier dataset."""

DATE = "date"
"""What a rank may name beside measures: when the page was taken, as the dump says; later is higher."""

PURGED = "purged"
"""A measure of documents and images once anything was taken down: 1 where the URL is on the list, else 0."""


@dataclass
class Facts:
    """Measures of all documents and images of a build.

    items: keys of the work items in dump order; documents, images: tables in the same order; document_item,
    image_item: the work item of each row, by its position in `items`; document_row: its row in the item's documents
    file; image_document: the row in `documents` of each image.
    rank: which of several copies stays, as the recipe's `dedup.rank` names measures; dates: of each document, in
    their order, NaN where unknown; loaded where the rank asks.
    """

    items: Sequence[str]
    documents: pa.Table
    images: pa.Table
    document_item: npt.NDArray[np.int64]
    document_row: npt.NDArray[np.int64]
    image_item: npt.NDArray[np.int64]
    image_document: npt.NDArray[np.int64]
    rank: tuple[str, ...] = ("images_kept",)
    dates: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def num_documents(self) -> int:
        """Documents that the dump gave."""
        return int(self.documents.num_rows)

    @property
    def num_images(self) -> int:
        """Image nodes of all documents."""
        return int(self.images.num_rows)

    def document_column(self, measure: str, *, is_optional: bool = False) -> npt.NDArray[Any]:
        """Return one measure of all documents: float64 with NaN, or objects with None.

        is_optional: what nobody has measured is unknown of every row; else ConfigError.
        """
        return _column(self.documents, measure, is_optional)

    def image_column(self, measure: str, *, is_optional: bool = False) -> npt.NDArray[Any]:
        """Return one measure of all images, as `document_column` does."""
        return _column(self.images, measure, is_optional)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.items)}

    def images_of(self, item: str, live: Mask) -> npt.NDArray[np.int64]:
        """Return the image rows of a work item (by its key) that are live, ascending; its rows lie together."""
        place = self._places[item]
        start, stop = (int(at) for at in np.searchsorted(self.image_item, [place, place + 1]))
        rows: npt.NDArray[np.int64] = start + np.flatnonzero(live[start:stop])
        return rows

    def passing(self, level: Level, rule: ByValue, values: npt.NDArray[Any]) -> Mask:
        """Return which rows pass a rule; values: of its measure, one per row of the level."""
        return rule.passes(values)

    def document_groups(self, measure: str) -> npt.NDArray[np.int64]:
        """Return the group of each document as a number, -1 where it has none; equal numbers, equal groups."""
        if not self.num_documents:
            return np.empty(0, dtype=np.int64)
        encoded = _encoded(self.documents.column(measure))
        return np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)).astype(np.int64)

    def earlier(self, measure: str) -> tuple[npt.NDArray[np.int64], list[Any]] | None:
        """Return the rows that have a twin in an earlier dataset, ascending, and the id of that twin.

        measure: a column of groups. None where the build is compared with no earlier dataset.
        """
        name = f"{measure}{EARLIER}"
        if name not in self.documents.column_names:
            return None
        column = self.documents.column(name)
        rows = np.flatnonzero(column.is_valid().to_numpy())
        return rows, column.drop_null().to_pylist()

    def with_images(self, columns: dict[str, Any]) -> Facts:
        """Return the facts with more measures of images."""
        return replace(self, images=_with_columns(self.images, columns))

    def with_documents(self, columns: dict[str, Any]) -> Facts:
        """Return the facts with more measures of documents."""
        return replace(self, documents=_with_columns(self.documents, columns))


def needs_pixels(step: Step) -> bool:
    """Return whether a step must wait for the fetch pass."""
    if isinstance(step.filter, GroupsImages | ScoresPairs | ScoresEmbeddings | ComparesEmbeddings):
        return True
    measures = {rule.measure for rule in step.filter.rules()}
    return bool(measures & {*FETCHED_COLUMNS, "images_kept", "images_lost"})


def _with_columns(table: pa.Table, columns: dict[str, Any]) -> pa.Table:
    for name, values in columns.items():
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        table = table.append_column(name, array)
    return table


def _column(table: pa.Table, measure: str, is_optional: bool) -> npt.NDArray[Any]:
    if measure not in table.column_names and (is_optional or not table.num_rows):
        return np.full(table.num_rows, None, dtype=object)
    if measure not in table.column_names:
        known = [name for name in table.column_names if name not in ("id", "node", "url")]
        raise ConfigError(
            f"measure '{measure}': neither the dump nor a step has it.{did_you_mean(measure, known)} "
            f"There are: {', '.join(known)}. Name one of these in the recipe."
        )
    column = table.column(measure)
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and column.null_count == 0):
        return np.asarray(column.to_numpy())
    if pa.types.is_integer(column.type):
        return np.asarray(pc.cast(column, pa.float64()).to_numpy())
    if not pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    encoded = _encoded(column)  # few different slugs: each becomes one Python text that all its rows share
    texts = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    shared: npt.NDArray[Any] = texts[pc.fill_null(encoded.indices, len(texts) - 1).to_numpy(zero_copy_only=False)]
    return shared


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of texts as numbers into a dictionary of its distinct texts."""
    return pc.dictionary_encode(pc.cast(column, pa.string())).unify_dictionaries().combine_chunks()


def load_facts(layout: Layout, items: Sequence[str], recipe: Recipe, measures: Collection[str] | None = None) -> Facts:
    """Return the facts of the given work items, with all that was stored about them so far.

    measures: only these columns, for decisions that are not written down; None: all of them, with the keys.
    """
    documents, images, rows, offsets = [], [], [], 0
    item_of, image_item, image_document, dates = [], [], [], []
    is_dated = DATE in {name.removeprefix("-") for name in recipe.dedup.rank}
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
        documents.append(table if measures is None else table.drop_columns(["id"]))
        images.append(found if measures is None else found.drop_columns(["id", "node", "url"]))
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
        dates=_in_order(dates),
    )
    return _with_agreement(facts) if "assigned_beside" in facts.images.column_names else facts


def _in_order(dates: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.float64]:
    """Return ISO 8601 dates in UTC as numbers in their order, NaN for "": they sort as texts."""
    if not dates:
        return np.empty(0)
    encoded = _encoded(pa.chunked_array([chunk for column in dates for chunk in column.chunks], type=pa.string()))
    texts = np.array(encoded.dictionary.to_pylist(), dtype=object)
    place = np.empty(len(texts))
    place[np.argsort(texts)] = np.arange(len(texts))
    place[texts == ""] = np.nan
    return np.asarray(place[encoded.indices.to_numpy(zero_copy_only=False)])


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
        table = _with_columns(table, {name: fetched.column(name).take(at) for name in wanted})
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
        return _with_columns(table, {name: pa.nulls(table.num_rows) for name in dict.fromkeys(asked)})
    at = pc.index_in(_pair_keys(table), value_set=_pair_keys(scores))
    names = [name for name in scores.column_names if name not in ("id", "node")]
    return _with_columns(table, {name: scores.column(name).take(at) for name in names})


def _pair_keys(table: pa.Table) -> pa.Array:
    keys = pc.binary_join_element_wise(table.column("id"), pc.cast(table.column("node"), pa.string()), "/")
    return keys.combine_chunks()
